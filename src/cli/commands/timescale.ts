import type { Command } from "commander";

interface MoveOptions {
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function register(program: Command): void {
  const timescale = program
    .command("timescale")
    .description("keep samples in hypertables of TimescaleDB, or in native partitions again");

  timescale
    .command("adopt")
    .description("move metrics, iops_metrics and bandwidth_metrics to compressed hypertables")
    .option("--dry-run", "list the partitions that would move, and change nothing")
    .option("--json", "of a dry run: one JSON object a line")
    .action(async ({ dryRun, json }: MoveOptions) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      if (dryRun) return printPlan("adopt", json);
      const { databaseUrlOr } = await import("../../targets/database-url.ts");
      const { requireExtension } = await import("../../timescale/extension.ts");
      const { adopt } = await import("../../timescale/adopt.ts");
      await requireExtension(databaseUrlOr("postgres"));
      await withOwnerConnection((sql) => adopt(sql, console.log));
    });

  timescale
    .command("leave")
    .description("move them back to native partitions")
    .option("--dry-run", "list the chunks that would move, and change nothing")
    .option("--json", "of a dry run: one JSON object a line")
    .action(async ({ dryRun, json }: MoveOptions) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      if (dryRun) return printPlan("leave", json);
      const { leave } = await import("../../timescale/leave.ts");
      await withOwnerConnection((sql) => leave(sql, console.log));
    });

  timescale
    .command("status")
    .description("show where each table of samples is, and its size")
    .option("--json", "one JSON object a line")
    .action(async ({ json }: { json?: boolean }) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { printRows } = await import("../../output/print-rows.ts");
      const { seriesStatus } = await import("../../timescale/status.ts");
      const columns = ["table_name", "state", "partitions", "chunks", "compressed", "bytes"];
      printRows(await withOwnerConnection(seriesStatus), columns, { json, none: "no tables" });
    });
}

async function printPlan(direction: "adopt" | "leave", json: boolean | undefined): Promise<void> {
  const { withOwnerConnection } = await import("../with-owner-connection.ts");
  const { printRows } = await import("../../output/print-rows.ts");
  const { movePlan } = await import("../../timescale/plan.ts");
  const rows = await withOwnerConnection((sql) => movePlan(sql, direction));
  printRows(rows, ["table_name", "part", "estimated_rows", "bytes"], {
    json,
    none: "nothing is left to move",
  });
}
