import type { Command } from "commander";

interface Options {
  readonly file: string[];
  readonly prune?: boolean;
  readonly impact?: boolean;
  readonly as?: string;
  readonly json?: boolean;
}

const differsExitCode = 3;

export function register(program: Command): void {
  program
    .command("diff")
    .description("show what apply would change, and change nothing")
    .requiredOption("-f, --file <path...>", "files, folders, or - for standard input")
    .option("--prune", "show also what apply --prune would end")
    .option("--impact", "show who would have been throttled over the last day")
    .option("--as <email>", "the system administrator who asks; else QOS_OPERATOR")
    .option("--json", "print one JSON object a change")
    .addHelpText(
      "after",
      `
+ is made, ~ changed, = managed from then on, - ended.

--impact judges each quota of an application that would change by the record of what was asked:
which share was throttled, and would have been, between bounds. It counts no default quotas,
quotas of clusters or what is pruned.

Examples:
  storage-qos diff -f qos.yaml
  storage-qos diff -f qos.yaml --impact
  storage-qos diff -f tenants/ --prune || echo "drift"`,
    )
    .action(async ({ file, prune = false, impact = false, as, json }: Options) => {
      const { readSources } = await import("../../configuration/source.ts");
      const { configurationOf } = await import("../../configuration/configuration.ts");
      const { coloured } = await import("../../output/colours.ts");
      const { describeChanges } = await import("../../configuration/describe-changes.ts");
      const { impactColumns, impactRows, withImpact } = await import("../../management/impact.ts");
      const { printRows } = await import("../../output/print-rows.ts");
      const { withManagement } = await import("../with-management.ts");
      const configuration = configurationOf(await readSources(file));
      const changes = await withManagement(as, async (management) => {
        const compared = await management.compare(configuration, prune);
        return impact ? withImpact(management, compared) : compared;
      });
      if (json) for (const change of changes) console.log(JSON.stringify(change));
      else console.log(coloured(describeChanges(changes)));
      if (impact && !json) {
        console.log();
        const none = "no quota of an application changes";
        printRows(impactRows(changes), impactColumns, { json, none });
      }
      if (changes.length > 0) process.exitCode = differsExitCode;
    });
}
