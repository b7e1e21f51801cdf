import type { Command } from "commander";

interface Options {
  readonly name?: string;
  readonly expiresAt?: string;
}

export function register(program: Command): void {
  const keys = program
    .command("access-keys")
    .description("make access key ids of the storage keys of applications, in DATABASE_URL");

  keys
    .command("register <application> <access-key-id>")
    .description("register one id as a key of an application, which is named by its id")
    .option("--name <name>", "what people call the key")
    .option("--expires-at <moment>", "when it stops working, as 2027-01-01T00:00Z")
    .action(async (appId: string, accessKeyId: string, { name, expiresAt }: Options) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { registerAccessKey } = await import("../../access-keys/register-access-key.ts");
      const { requireMoment } = await import("../../input/require-moment.ts");
      const { requireUuids } = await import("../../input/require-ids.ts");
      requireUuids([appId], "Give the application's id, as the admin API shows it.");
      const until = expiresAt === undefined ? undefined : requireMoment(expiresAt, "--expires-at");
      const key = { appId, accessKeyId, name, expiresAt: until };
      console.log(
        `registered as key ${await withOwnerConnection((sql) => registerAccessKey(sql, key))}`,
      );
    });

  keys
    .command("import <file>")
    .description(
      "register the ids of a CSV file, all or none: access_key_id,app_id,name,expires_at",
    )
    .action(async (path: string) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { importAccessKeys } = await import("../../access-keys/import-access-keys.ts");
      const { readAccessKeys } = await import("../../access-keys/read-access-keys.ts");
      const entries = await readAccessKeys(path);
      const { registered, unchanged } = await withOwnerConnection((sql) =>
        importAccessKeys(sql, entries, ({ line, code, message }) =>
          console.error(`line ${line}: ${message} (${code})`),
        ),
      );
      console.log(`registered: ${registered}, there already: ${unchanged}`);
    });
}
