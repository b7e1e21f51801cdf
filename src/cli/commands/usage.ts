import { type Command, Option } from "commander";

interface Options {
  readonly since: string;
  readonly by: string;
  readonly as?: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command("usage <application>")
    .description("show what an application used and was denied, by hour or day")
    .option("--since <time>", "how far back, such as 24h or 7d", "24h")
    .addOption(new Option("--by <unit>", "unit").choices(["hour", "day"]).default("hour"))
    .option("--as <email>", "the system administrator who asks; else QOS_OPERATOR")
    .option("--json", "one JSON object a line")
    .addHelpText(
      "after",
      `
Examples:
  storage-qos usage noisy/photos
  storage-qos usage noisy/photos --since 30d --by day

Moments are in UTC; --json has every digit of bytes.`,
    )
    .action(async (name: string, { since, by, as, json }: Options) => {
      const { exactUsage, readableUsage } = await import("../../inspect/usage-rows.ts");
      const { parsePath } = await import("../../resources/path.ts");
      const { resourceOf } = await import("../../resources/resources.ts");
      const { orNotFound } = await import("../../resources/not-found.ts");
      const { withManagement } = await import("../with-management.ts");
      const { printRows } = await import("../../output/print-rows.ts");
      const { requireTime } = await import("../../input/require-time.ts");
      const application = resourceOf("application");
      const path = parsePath(name, application);
      const seconds = requireTime(since, "--since");
      const usage = await withManagement(as, (management) =>
        management.usage(path, { seconds, by }),
      ).catch(orNotFound(path, application));
      const columns = ["starts_at", "tokens", "bytes", "ledger_entries"];
      const denied = ["denied_operations", "denied_tokens", "denied_bytes"];
      const rows = json ? exactUsage(usage) : readableUsage(usage);
      printRows(rows, [...columns, ...denied], { json, none: "nothing was used or denied" });
    });
}
