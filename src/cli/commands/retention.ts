import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("retention")
    .description("show what the retention policies would have go now (to have it go: jobs run)")
    .option("--json", "one JSON object a line")
    .action(async ({ json }: { json?: boolean }) => {
      const { asOwner } = await import("../as-owner.ts");
      const { printRows } = await import("../print-rows.ts");
      const { retentionPlan } = await import("../../worker/operation/retention-plan.ts");
      const columns = ["data_type", "action", "export_first", "partition_name", "row_count"];
      printRows(await asOwner(retentionPlan), columns, { json, none: "nothing has expired" });
    });
}
