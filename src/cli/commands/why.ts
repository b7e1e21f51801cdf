import type { Command } from "commander";

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

Charge, tokens, capacity, refill and debt are tokens of buckets of operations, and bytes of those of
bandwidth; --json has every digit of them. Moments are in UTC.`,
    )
    .action(async (name: string, operation: string, size = "0", { as, json }: Options) => {
      const { sizeInBytes } = await import("../../decide/size.ts");
      const { exactVerdicts, readableVerdicts } = await import("../../inspect/verdict-rows.ts");
      const { parsePath } = await import("../../resources/path.ts");
      const { resourceOf } = await import("../../resources/resources.ts");
      const { orNotFound } = await import("../../resources/not-found.ts");
      const { isUnknownOperation, unknownOperation } = await import(
        "../../decide/unknown-operation.ts"
      );
      const { withManagement } = await import("../with-management.ts");
      const { printRows } = await import("../../output/print-rows.ts");
      const application = resourceOf("application");
      const path = parsePath(name, application);
      const bytes = sizeInBytes(size);
      const verdicts = await withManagement(as, (management) =>
        management.why(path, operation, bytes),
      ).catch(async (error: unknown) => {
        if (!isUnknownOperation(error)) return orNotFound(path, application)(error);
        const names = await withManagement(as, (management) => management.operations());
        throw unknownOperation(names, operation, error);
      });
      const columns = ["layer", "bucket", "mode", "verdict", "charge", "tokens", "capacity"];
      const rows = json ? exactVerdicts(verdicts) : readableVerdicts(verdicts);
      const none = "nothing limits this operation";
      printRows(rows, [...columns, "refill", "debt", "passes_at"], { json, none });
    });
}
