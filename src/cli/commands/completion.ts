import { Argument, type Command } from "commander";
import { type Shell, shells } from "../completion/scripts.ts";

export function register(program: Command): void {
  program
    .command("completion")
    .description("print a script that completes commands, kinds and options in a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(shells))
    .addHelpText(
      "after",
      `
Examples:
  source <(storage-qos completion bash)
  storage-qos completion zsh > ~/.zfunc/_storage-qos
  storage-qos completion fish > ~/.config/fish/completions/storage-qos.fish`,
    )
    .action(async (shell: Shell) => {
      const { Command: Program } = await import("commander");
      const { loadCommands } = await import("../load-commands.ts");
      const { completionScript } = await import("../completion/scripts.ts");
      const { wordsOf } = await import("../completion/words.ts");
      const whole = new Program("storage-qos");
      await loadCommands(whole, undefined);
      console.log(completionScript(shell, wordsOf(whole)));
    });
}
