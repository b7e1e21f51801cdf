import { withConnection } from "../postgres/connect.ts";
import { bootstrap } from "./bootstrap.ts";
import { migrateWorkerSchema } from "./worker-schema.ts";

/** What has to be there before the first migration: roles, grants and the job queue. */
export async function prepare(url: string): Promise<void> {
  await withConnection(url, bootstrap);
  await migrateWorkerSchema(url);
}
