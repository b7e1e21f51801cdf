import type { Command } from "commander";

interface Options {
  readonly email: string;
  readonly username: string;
  readonly tenant: string;
}

export function register(program: Command): void {
  program
    .command("create-admin")
    .description(
      "make a system administrator for the admin API, in DATABASE_URL or the embedded one",
    )
    .requiredOption("--email <address>", "address to sign in with")
    .option("--username <name>", "name to show", "administrator")
    .option(
      "--tenant <name>",
      "tenant of the administrator, created if it does not exist",
      "operators",
    )
    .addHelpText(
      "after",
      "\nThe password is that of QOS_ADMIN_PASSWORD; else one is made and shown once.",
    )
    .action(async (wanted: Options) => {
      const { createAdministrator } = await import(
        "../../api/administrator/create-administrator.ts"
      );
      const { withConnection } = await import("../../postgres/connect.ts");
      const { withRole } = await import("../../postgres/url.ts");
      const { localDeclaration } = await import("../../settings/local.ts");
      const { readSettings } = await import("../../settings/read-settings.ts");
      const { adminPassword: given } = readSettings(process.env, localDeclaration);
      await withAdminUrl(async (url) => {
        const made = await withConnection(withRole(url, "rate_limiter_owner"), (sql) =>
          createAdministrator(sql, wanted, given),
        );
        console.log(`${made.email} of the tenant ${made.tenant} administers the system`);
        if (given === undefined) console.log(`password (shown once): ${made.password}`);
      });
    });
}

/** The database of DATABASE_URL; without it the embedded one, running or not. */
async function withAdminUrl(use: (url: string) => Promise<void>): Promise<void> {
  const { databaseUrl } = await import("../../targets/database-url.ts");
  if (process.env.DATABASE_URL) return use(databaseUrl());
  const { openDatabases } = await import("../../start/databases.ts");
  const databases = await openDatabases(process.env);
  try {
    await use(databases.admin);
  } finally {
    await databases.stop();
  }
}
