import type { Command } from "commander";
import { kindsHelp } from "../kinds-help.ts";

interface Options {
  readonly reason: string;
  readonly as?: string;
}

export function register(program: Command): void {
  program
    .command("set <kind> <name> <fields...>")
    .description("change fields of one object")
    .option("--reason <text>", "why, for the history", "storage-qos set")
    .option("--as <email>", "the system administrator whose change it is; else QOS_OPERATOR")
    .addHelpText("after", () => kindsHelp("set"))
    .addHelpText(
      "after",
      `
Examples:
  storage-qos set quota acme/photos operations.burst=800/s
  storage-qos set application acme/photos cluster=ams-1
  storage-qos set cluster fra-1 health_check=
  storage-qos set setting default_burst_duration value=5`,
    )
    .action(async (kind: string, name: string, fields: string[], { reason, as }: Options) => {
      const { resourceFor } = await import("../../resources/resources.ts");
      const { parsePath } = await import("../../resources/path.ts");
      const { requireItem } = await import("../../resources/not-found.ts");
      const { parseAssignments } = await import("../../resources/assignments.ts");
      const { withManagement } = await import("../with-management.ts");
      const resource = resourceFor("set", kind);
      const path = parsePath(name, resource);
      const change = { ...parseAssignments(fields), reason };
      await withManagement(as, async (management) => {
        const item = requireItem(await resource.list(management), path, resource);
        await resource.set?.(management, item, change);
      });
      console.log(`${resource.name} ${name} was changed`);
    });
}
