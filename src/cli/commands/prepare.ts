import type { Command } from "commander";
import { databaseUrl } from "../../targets/database-url.ts";

export function register(program: Command): void {
  program
    .command("prepare")
    .description("create roles, grants and the job queue in the database of DATABASE_URL")
    .action(async () => {
      const { prepare } = await import("../../migrations/prepare.ts");
      // graphile-migrate names the database that way when it runs this for a shadow database.
      await prepare(process.env.GM_DBURL ?? databaseUrl());
    });
}
