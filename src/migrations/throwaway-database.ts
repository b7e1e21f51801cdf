import { randomBytes } from "node:crypto";
import { connect, type Sql, withConnection } from "../postgres/connect.ts";
import { openScratchServer } from "../postgres/scratch-server.ts";
import { startThrowawayServer } from "../postgres/throwaway-server.ts";
import { withDatabase } from "../postgres/url.ts";
import { migrate } from "./migrate.ts";
import { imageDatabase, migratedImage } from "./migrated-image.ts";

export interface ThrowawayDatabase {
  readonly url: string;
  readonly sql: Sql;
}

/** Provides a migrated database for exclusive use. */
export type WithEmptyDatabase = <T>(
  use: (database: { readonly url: string }) => Promise<T>,
) => Promise<T>;

/** Runs `use` against a migrated database that is gone afterwards. */
export async function withThrowawayDatabase<T>(
  use: (database: ThrowawayDatabase) => Promise<T>,
): Promise<T> {
  const { url, remove } = await openDatabase(process.env);
  const sql = connect(url);
  try {
    return await use({ url, sql });
  } finally {
    await sql.end();
    await remove();
  }
}

interface OpenDatabase {
  readonly url: string;
  remove(): Promise<void>;
}

async function openDatabase(env: NodeJS.ProcessEnv): Promise<OpenDatabase> {
  if (env.DATABASE_URL) return migratedDatabase();
  const image = await migratedImage();
  if (image === undefined) return migratedDatabase();
  const server = await startThrowawayServer(image);
  return { url: withDatabase(server.url, imageDatabase), remove: server.stop };
}

async function migratedDatabase(): Promise<OpenDatabase> {
  const server = await openScratchServer();
  const name = `storage_qos_${randomBytes(6).toString("hex")}`;
  const url = withDatabase(server.url, name);
  const remove = async () => {
    await withConnection(
      server.url,
      (sql) => sql`drop database if exists ${sql(name)} with (force)`,
    );
    await server.stop();
  };
  try {
    await withConnection(server.url, (sql) => sql`create database ${sql(name)}`);
    await migrate(url);
    return { url, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
