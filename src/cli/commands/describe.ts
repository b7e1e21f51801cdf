import { type Command, Option } from "commander";
import { kindsHelp } from "../kinds-help.ts";

interface Options {
  readonly output: "yaml" | "json";
  readonly as?: string;
}

export function register(program: Command): void {
  program
    .command("describe <kind> <name>")
    .description("show one object and all that is in it, as a file would have it")
    .addOption(
      new Option("-o, --output <format>", "format").choices(["yaml", "json"]).default("yaml"),
    )
    .option("--as <email>", "the system administrator who asks; else QOS_OPERATOR")
    .addHelpText("after", () => kindsHelp())
    .addHelpText(
      "after",
      `
Examples:
  storage-qos describe tenant acme
  storage-qos describe application acme/photos -o json`,
    )
    .action(async (kind: string, name: string, { output, as }: Options) => {
      const { resourceOf } = await import("../../resources/resources.ts");
      const { parsePath } = await import("../../resources/path.ts");
      const { describeItem } = await import("../../resources/describe-item.ts");
      const { withManagement } = await import("../with-management.ts");
      const resource = resourceOf(kind);
      const path = parsePath(name, resource);
      const text = await withManagement(as, (management) =>
        describeItem(management, resource, path, output),
      );
      console.log(text);
    });
}
