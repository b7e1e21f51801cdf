import { Logger, type Settings } from "graphile-migrate";
import { logFor } from "../log.ts";
import { projectPath } from "../paths.ts";
import { withParameter, withRole } from "../postgres/url.ts";
import { pinoLogFactory } from "./log-factory.ts";

/** What graphile-migrate's sessions call themselves. */
export const migrateApplicationName = "graphile-migrate";

/** Migrations run as the owner, whichever login carries them out. */
export function migrateSettings(url: string): Settings {
  const asOwner = withRole(url, "rate_limiter_owner");
  return {
    connectionString: withParameter(asOwner, "application_name", migrateApplicationName),
    migrationsFolder: projectPath("db"),
    logger: new Logger(pinoLogFactory(logFor("graphile-migrate"))),
  };
}
