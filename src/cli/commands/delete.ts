import type { Command } from "commander";
import { kindsHelp } from "../kinds-help.ts";

interface Options {
  readonly reason: string;
  readonly as?: string;
}

export function register(program: Command): void {
  program
    .command("delete <kind> <name>")
    .description("end one object; what has history is deactivated")
    .option("--reason <text>", "why, for the history", "storage-qos delete")
    .option("--as <email>", "the system administrator whose change it is; else QOS_OPERATOR")
    .addHelpText("after", () => kindsHelp("delete"))
    .addHelpText(
      "after",
      `
Examples:
  storage-qos delete quota acme/photos
  storage-qos delete key acme/photos/qos_AbCdEfGh`,
    )
    .action(async (kind: string, name: string, { reason, as }: Options) => {
      const { resourceFor } = await import("../../resources/resources.ts");
      const { parsePath } = await import("../../resources/path.ts");
      const { requireItem } = await import("../../resources/not-found.ts");
      const { withManagement } = await import("../with-management.ts");
      const resource = resourceFor("delete", kind);
      const path = parsePath(name, resource);
      const became = await withManagement(as, async (management) => {
        const item = requireItem(await resource.list(management), path, resource);
        return resource.delete?.(management, item, reason);
      });
      console.log(`${resource.name} ${name} was ${became}`);
    });
}
