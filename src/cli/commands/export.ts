import type { Command } from "commander";

interface Options {
  readonly managedBy?: string;
  readonly as?: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command("export")
    .description("write what stands as a file of configuration")
    .option("--managed-by <name>", "only what this configuration manages")
    .option("--as <email>", "the system administrator who asks; else QOS_OPERATOR")
    .option("--json", "write JSON, which apply reads too")
    .addHelpText(
      "after",
      `
Secrets, keys and people are not in it; quotas for a time and shadow quotas neither.

Examples:
  storage-qos export > qos.yaml
  storage-qos export --managed-by storage-team`,
    )
    .action(async ({ managedBy, as, json }: Options) => {
      const { treeOf } = await import("../../configuration/tree.ts");
      const { stringify } = await import("yaml");
      const { withManagement } = await import("../with-management.ts");
      const objects = await withManagement(as, (management) => management.configuration());
      const wanted = objects.filter(
        (object) => managedBy === undefined || object.managed_by === managedBy,
      );
      const named = managedBy === undefined ? {} : { managed_by: managedBy };
      const tree = { ...named, ...treeOf(wanted) };
      console.log(json ? JSON.stringify(tree, undefined, 2) : stringify(tree).trimEnd());
    });
}
