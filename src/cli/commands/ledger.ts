import type { Command } from "commander";

interface Options {
  readonly since?: string;
  readonly json?: boolean;
}

const gapsExitCode = 3;

export function register(program: Command): void {
  const ledger = program
    .command("ledger")
    .description("prove the ledger of DATABASE_URL, which explains every token");

  ledger
    .command("verify")
    .description("list each place where a balance does not follow from the row before")
    .option("--since <time>", "only the last time, such as 24h; all of it where absent")
    .option("--json", "one JSON object a line")
    .addHelpText(
      "after",
      `
Examples:
  storage-qos ledger verify
  storage-qos ledger verify --since 2h`,
    )
    .action(async ({ since, json }: Options) => {
      const { ledgerGaps } = await import("../../inspect/ledger-gaps.ts");
      const { printRows } = await import("../../output/print-rows.ts");
      const { requireTime } = await import("../../input/require-time.ts");
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const seconds = since === undefined ? undefined : requireTime(since, "--since");
      const rows = await withOwnerConnection((sql) => ledgerGaps(sql, seconds));
      const columns = ["owner_id", "bucket_type", "mode", "seq", "created_at", "problem"];
      printRows(rows, columns, { json, none: "the ledger explains every token" });
      if (rows.length > 0) process.exitCode = gapsExitCode;
    });
}
