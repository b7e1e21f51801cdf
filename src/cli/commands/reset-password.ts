import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("reset-password")
    .description("give a user of the admin API a new password, and end the user's sessions")
    .argument("<email>", "the address that the user signs in with")
    .option("--tenant <name>", "the user's tenant, where several have this address")
    .addHelpText(
      "after",
      "\nThe password is that of QOS_ADMIN_PASSWORD; else one is made and shown once.",
    )
    .action(async (email: string, { tenant }: { tenant?: string }) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { resetPassword } = await import("../../api/administrator/reset-password.ts");
      const { localDeclaration } = await import("../../settings/local.ts");
      const { readSettings } = await import("../../settings/read-settings.ts");
      const { adminPassword: given } = readSettings(process.env, localDeclaration);
      const password = await withOwnerConnection((sql) => resetPassword(sql, email, tenant, given));
      console.log(`${email} has a new password`);
      if (given === undefined) console.log(`password (shown once): ${password}`);
    });
}
