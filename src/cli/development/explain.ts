import { Argument, type Command } from "commander";
import { explainedCalls } from "../../explain/calls.ts";

export function register(program: Command): void {
  program
    .command("explain")
    .description("print each statement that one decision runs, its plan and what it costs")
    .addArgument(new Argument("<call>", "the function").choices(Object.keys(explainedCalls)))
    .option("--no-plans", "print the table of statements alone")
    .action(async (call: string, { plans }: { plans: boolean }) => {
      const { explainCommand } = await import("../../explain/explain-command.ts");
      console.log(await explainCommand(call, plans));
    });
}
