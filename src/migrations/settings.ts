import { Logger, type Settings } from "graphile-migrate";
import { logFor } from "../log.ts";
import { projectPath } from "../paths.ts";
import { withParameter, withRole, withSessionSettings } from "../postgres/url.ts";
import { pinoLogFactory } from "./log-factory.ts";

/** What the sessions of this process's graphile-migrate call themselves. */
export const migrateApplicationName = `graphile-migrate ${process.pid}`;

export const migrationsFolder = projectPath("db");

/** Migrations run as the owner, whichever login carries them out. */
export function migrateSettings(url: string, folder: string = migrationsFolder): Settings {
  return {
    connectionString: withOwnerConnection(url),
    migrationsFolder: folder,
    logger: new Logger(pinoLogFactory(logFor("graphile-migrate"))),
  };
}

export function withOwnerConnection(url: string): string {
  const owner = withRole(withSessionSettings(url), "rate_limiter_owner");
  return withParameter(owner, "application_name", migrateApplicationName);
}
