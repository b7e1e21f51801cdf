import {
  migrate as applyCommitted,
  commit as commitCurrent,
  type Settings,
  uncommit as uncommitLast,
} from "graphile-migrate";
import { projectPath } from "../paths.ts";
import { withConnection } from "../postgres/connect.ts";
import { openScratchServer } from "../postgres/scratch-server.ts";
import { withDatabase, withParameter } from "../postgres/url.ts";
import { InputError } from "../user-error.ts";
import { migrationFailure } from "./failure.ts";
import { closeLibraryPools } from "./library-pools.ts";
import { prepare } from "./prepare.ts";
import {
  migrateApplicationName,
  migrateSettings,
  migrationsFolder,
  withOwnerConnection,
} from "./settings.ts";

/** Characters of a message, which is a part of a file's name. */
const longestMessage = 50;
const databaseName = "storage_qos_commit";
const shadowName = "storage_qos_commit_shadow";

/** Turns db/current.sql into the next committed migration, once it has run on an empty database. */
export async function commitMigration(message: string, folder = migrationsFolder): Promise<void> {
  if (message.length > longestMessage) {
    throw new InputError(
      "message_too_long",
      `the message has ${message.length} characters, at most ${longestMessage} fit`,
      "Name the topic, not the occasion: it becomes a part of the file's name.",
    );
  }
  await withScratch(folder, (settings) => commitCurrent(settings, message));
}

/** Turns the last committed migration back into db/current.sql. */
export async function uncommitMigration(folder = migrationsFolder): Promise<void> {
  await withScratch(folder, uncommitLast);
}

/** Databases that may be dropped and made again, which is how graphile-migrate checks a commit. */
async function withScratch(
  folder: string,
  work: (settings: Settings) => Promise<void>,
): Promise<void> {
  const server = await openScratchServer({});
  const url = withDatabase(server.url, databaseName);
  try {
    await withConnection(server.url, (sql) => sql`create database ${sql(databaseName)}`);
    await prepare(url);
    const settings = scratchSettings(server.url, url, folder);
    try {
      await applyCommitted(settings);
      await work(settings);
    } catch (error) {
      throw migrationFailure(error);
    } finally {
      await withConnection(server.url, closeLibraryPools);
    }
  } finally {
    await server.stop();
  }
}

function scratchSettings(serverUrl: string, url: string, folder: string): Settings {
  const main = projectPath("src/cli/main.ts");
  return {
    ...migrateSettings(url, folder),
    databaseOwner: "rate_limiter_owner",
    rootConnectionString: withParameter(serverUrl, "application_name", migrateApplicationName),
    shadowConnectionString: withOwnerConnection(withDatabase(serverUrl, shadowName)),
    // The shadow database is made anew by graphile-migrate, without what `prepare` makes.
    afterReset: [
      { _: "command", shadow: true, command: `"${process.execPath}" "${main}" prepare` },
    ],
    blankMigrationContent: "-- The migration being written.\n",
  };
}
