import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("retention")
    .description("show what retention would remove now (jobs run apply_retention removes it)")
    .option("--json", "one JSON object a line")
    .action(async ({ json }: { json?: boolean }) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { printRows } = await import("../../output/print-rows.ts");
      const { retentionPlan } = await import("../../jobs/retention-plan.ts");
      const columns = ["data_type", "action", "export_first", "partition_name", "row_count"];
      printRows(await withOwnerConnection(retentionPlan), columns, {
        json,
        none: "nothing has expired",
      });
    });
}
