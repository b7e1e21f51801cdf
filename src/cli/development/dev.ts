import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("dev")
    .description(
      "apply a changed function to the development database on save, and rerun its tests",
    )
    .action(async () => {
      const { runDevLoop } = await import("../../dev/run-dev-loop.ts");
      const { untilStopped } = await import("../until-stopped.ts");
      // Before the loop says that it watches, so that Ctrl-C is handled from then on.
      const stopped = untilStopped();
      const loop = await runDevLoop();
      await stopped;
      await loop.stop();
    });
}
