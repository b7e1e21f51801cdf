import { type Command, Option } from "commander";
import { type Format, formats } from "../../resources/print-items.ts";
import { kindsHelp } from "../kinds-help.ts";

interface Options {
  readonly output: Format;
  readonly as?: string;
}

export function register(program: Command): void {
  program
    .command("get <kind> [name]")
    .description("list what there is of a kind, or show one of them")
    .addOption(new Option("-o, --output <format>", "format").choices(formats).default("table"))
    .option("--as <email>", "the system administrator who asks; else QOS_OPERATOR")
    .addHelpText("after", () => kindsHelp())
    .addHelpText(
      "after",
      `
Examples:
  storage-qos get tenants
  storage-qos get quota acme/photos -o yaml
  storage-qos get keys -o json | jq '.[].prefix'`,
    )
    .action(async (kind: string, name: string | undefined, { output, as }: Options) => {
      const { resourceOf } = await import("../../resources/resources.ts");
      const { parsePath } = await import("../../resources/path.ts");
      const { requireItem } = await import("../../resources/not-found.ts");
      const { printItem, printItems } = await import("../../resources/print-items.ts");
      const { withManagement } = await import("../with-management.ts");
      const resource = resourceOf(kind);
      const path = name === undefined ? undefined : parsePath(name, resource);
      const items = await withManagement(as, (management) => resource.list(management));
      if (path === undefined) return printItems(items, resource, output);
      const item = requireItem(items, path, resource);
      if (output === "table") printItems([item], resource, output);
      else printItem(item, resource, output);
    });
}
