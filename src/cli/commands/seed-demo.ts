import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("seed-demo")
    .description(
      "make the demo's tenant, applications, API key and an administrator, where none are",
    )
    .action(async () => {
      const { databaseUrlOr } = await import("../../targets/database-url.ts");
      const { firstAdministrator } = await import("../../api/administrator/first-administrator.ts");
      const { seedDemo } = await import("../../start/seed-demo.ts");
      const url = databaseUrlOr("postgres");
      const demo = await seedDemo(url);
      const administrator = await firstAdministrator(url);
      console.log(demo ? `API key (shown once): ${demo.apiKey}` : "there are tenants already");
      if (demo) console.log(`of ${demo.owner}`);
      if (administrator === undefined) return;
      console.log(`administrator: ${administrator.email}`);
      console.log(`password (shown once): ${administrator.password}`);
    });
}
