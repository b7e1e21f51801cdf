import { urlFrom } from "../postgres/url.ts";
import { findLocalDatabase, localDataFolder } from "../start/local-database.ts";
import { UserError } from "../user-error.ts";
import { chosenProfile } from "./chosen-profile.ts";

/** The database that a command works on, or an error that says how to name one. */
export function databaseUrl(env: NodeJS.ProcessEnv = process.env): string {
  const url = urlFrom(env, "DATABASE_URL");
  if (url === undefined) {
    throw new UserError(
      "database_url_missing",
      "DATABASE_URL is not set",
      "Set it to a connection URL such as postgres://login:password@host:5432/database.",
    );
  }
  return url;
}

/**
 * The database of DATABASE_URL; without it that of the profile, if it is one of a database, or the
 * one that `npm start` runs, as one of its logins.
 */
export function databaseUrlOr(login: string, env: NodeJS.ProcessEnv = process.env): string {
  const given = urlFrom(env, "DATABASE_URL");
  if (given !== undefined) return given;
  const profile = chosenProfile(env);
  return profile !== undefined && "database" in profile ? profile.database : localUrl(login, env);
}

function localUrl(login: string, env: NodeJS.ProcessEnv): string {
  const url = findLocalDatabase(env)?.urlOf(login);
  if (url !== undefined) return url;
  throw new UserError(
    "database_not_running",
    `DATABASE_URL is not set, and storage-qos start does not run on ${localDataFolder(env).folder}`,
    "Run storage-qos start in another terminal, or set DATABASE_URL to a connection URL such as " +
      "postgres://login:password@host:5432/database.",
  );
}
