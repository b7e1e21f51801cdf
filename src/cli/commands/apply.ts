import type { Command } from "commander";

interface Options {
  readonly file: string[];
  readonly reason: string;
  readonly prune?: boolean;
  readonly allowEmpty?: boolean;
  readonly takeOver?: boolean;
  readonly dryRun?: boolean;
  readonly as?: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command("apply")
    .description("make what stands as files of configuration want it, all or nothing")
    .requiredOption("-f, --file <path...>", "files, folders, or - for standard input")
    .option("--reason <text>", "why, for the history", "applied by storage-qos apply")
    .option("--prune", "end what this configuration manages and no longer names")
    .option("--allow-empty", "prune even where the files name nothing: all that it manages ends")
    .option("--take-over", "manage also what another configuration manages")
    .option("--dry-run", "do all of it and take it back: what is refused is told")
    .option("--as <email>", "the system administrator whose changes these are; else QOS_OPERATOR")
    .option("--json", "print one JSON object a change")
    .addHelpText(
      "after",
      `
Examples:
  storage-qos apply -f qos.yaml
  storage-qos apply -f clusters.yaml -f tenants/ --prune --reason "ticket 7"
  storage-qos apply -f tenants/ --prune --dry-run
  storage-qos export --managed-by storage-team | storage-qos apply -f -

The schema of the files is docs/qos.schema.json.`,
    )
    .action(async ({ file, reason, as, json, ...options }: Options) => {
      const { prune = false, takeOver = false, dryRun: isRehearsal = false } = options;
      const { readSources } = await import("../../configuration/source.ts");
      const { configurationOf, requireSome } = await import("../../configuration/configuration.ts");
      const { coloured } = await import("../../output/colours.ts");
      const { describeChanges } = await import("../../configuration/describe-changes.ts");
      const { withManagement } = await import("../with-management.ts");
      const configuration = configurationOf(await readSources(file));
      if (prune && !options.allowEmpty) requireSome(configuration);
      const changes = await withManagement(as, (management) =>
        management.apply(configuration, { reason, prune, takeOver, isRehearsal }),
      );
      if (json) for (const change of changes) console.log(JSON.stringify(change));
      else console.log(coloured(describeChanges(changes)));
      if (isRehearsal && !json) console.log("dry run: nothing was changed");
    });
}
