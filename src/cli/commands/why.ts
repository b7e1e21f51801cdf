import type { Command } from "commander";
import { exitCodesHelp } from "../kinds-help.ts";

interface Options {
  readonly as?: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command("why <application> <operation> [size]")
    .description("show bucket by bucket why an operation is denied now, and when it would pass")
    .option("--as <email>", "the system administrator who asks; else QOS_OPERATOR")
    .option("--json", "one JSON object a line")
    .addHelpText(
      "after",
      `
Examples:
  storage-qos why noisy/photos read_large 64MiB
  storage-qos why noisy/photos head --json
${exitCodesHelp}`,
    )
    .action(async (name: string, operation: string, size = "0", { as, json }: Options) => {
      const { sizeInBytes } = await import("../../decide/size.ts");
      const { whyThrottled } = await import("../../inspect/why-throttled.ts");
      const { parsePath } = await import("../../resources/path.ts");
      const { resourceOf } = await import("../../resources/resources.ts");
      const { isUnknownOperation, unknownOperation } = await import(
        "../../decide/unknown-operation.ts"
      );
      const { asOperator } = await import("../as-operator.ts");
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { printRows } = await import("../print-rows.ts");
      const path = parsePath(name, resourceOf("application"));
      const bytes = sizeInBytes(size);
      const rows = await asOperator(as, (sql) => whyThrottled(sql, path, operation, bytes)).catch(
        async (error: unknown) => {
          if (!isUnknownOperation(error)) throw error;
          throw await withOwnerConnection((sql) => unknownOperation(sql, operation, error));
        },
      );
      const columns = ["layer", "bucket", "mode", "verdict", "charge", "tokens", "capacity"];
      printRows(rows, [...columns, "debt", "passes_at"], {
        json,
        none: "nothing limits this operation",
      });
    });
}
