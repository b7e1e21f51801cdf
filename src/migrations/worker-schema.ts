import { readFileSync } from "node:fs";
import { Logger, runMigrations } from "graphile-worker";
import { logFor } from "../log.ts";
import { projectPath } from "../paths.ts";
import { withConnection } from "../postgres/connect.ts";
import { withRole, withSessionSettings } from "../postgres/url.ts";
import { pinoLogFactory } from "./log-factory.ts";

const logger = new Logger(pinoLogFactory(logFor("graphile-worker")));

export async function migrateWorkerSchema(url: string): Promise<void> {
  const prepare = readFileSync(projectPath("db/bootstrap/worker_schema.sql"), "utf8");
  await withConnection(withRole(url, "rate_limiter_owner"), (sql) => sql.unsafe(prepare).simple());
  await runMigrations({
    connectionString: withRole(withSessionSettings(url), "rate_limiter_worker"),
    maxPoolSize: 1,
    logger,
  });
}
