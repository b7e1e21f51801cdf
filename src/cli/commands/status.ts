import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("status")
    .description("show URLs, logins, versions and health of storage-qos start, or of DATABASE_URL")
    .option("--json", "print one JSON object and nothing else")
    .action(async ({ json }: { json?: boolean }) => {
      const { readStatus } = await import("../../start/status.ts");
      const { describeStatus } = await import("../../start/describe-status.ts");
      const status = await readStatus(process.env);
      console.log(json ? JSON.stringify(status) : describeStatus(status));
      if (!status.isWell) process.exitCode = 1;
    });
}
