import type { Command } from "commander";
import { kindsHelp } from "../kinds-help.ts";

interface Options {
  readonly reason: string;
  readonly as?: string;
}

export function register(program: Command): void {
  program
    .command("create <kind> <name> [fields...]")
    .description("make one object")
    .option("--reason <text>", "why, for the history", "storage-qos create")
    .option("--as <email>", "the system administrator whose change it is; else QOS_OPERATOR")
    .addHelpText("after", () => kindsHelp("create"))
    .addHelpText(
      "after",
      `
Examples:
  storage-qos create tenant acme description="makes photographs"
  storage-qos create application acme/photos cluster=fra-1
  storage-qos create quota acme/photos operations=500/s bandwidth="20 MB/s"
  storage-qos create key acme/photos name=gateway
  storage-qos create alert 'acme/photos/qos_denied/>/warning' threshold=100 for="5 min"`,
    )
    .action(async (kind: string, name: string, fields: string[], { reason, as }: Options) => {
      const { resourceFor } = await import("../../resources/resources.ts");
      const { parsePath } = await import("../../resources/path.ts");
      const { requireAbsent } = await import("../../resources/not-found.ts");
      const { parseAssignments } = await import("../../resources/assignments.ts");
      const { withManagement } = await import("../with-management.ts");
      const resource = resourceFor("create", kind);
      const path = parsePath(name, resource, resource.namesAtFirst);
      const change = { ...parseAssignments(fields), reason };
      const shown = await withManagement(as, async (management) => {
        requireAbsent(await resource.list(management), path, resource);
        return resource.create?.(management, path, change);
      });
      console.log(`${resource.name} ${name} was created`);
      for (const [key, value] of Object.entries(shown ?? {})) {
        console.log(`${key}: ${value}  (shown this once)`);
      }
    });
}
