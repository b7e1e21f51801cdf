import type { Command } from "commander";
import { databaseUrl } from "../../targets/database-url.ts";

export function register(program: Command): void {
  program
    .command("migrate")
    .description("bring the database of DATABASE_URL up to date")
    .action(async () => {
      const { migrate } = await import("../../migrations/migrate.ts");
      const { databaseOf } = await import("../../postgres/url.ts");
      const url = databaseUrl();
      await migrate(url);
      console.log(`database ${databaseOf(url)} is up to date`);
    });
}
