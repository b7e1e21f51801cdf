import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("doctor")
    .description("examine DATABASE_URL, or the database of storage-qos start, and say what to do")
    .option("--json", "print one JSON object and nothing else")
    .addHelpText(
      "after",
      `
Examples:
  storage-qos doctor
  storage-qos doctor --json | jq '.findings[] | select(.severity != "ok")'`,
    )
    .action(async ({ json }: { json?: boolean }) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { readFacts } = await import("../../doctor/read-facts.ts");
      const { coloured } = await import("../../output/colours.ts");
      const { describeDiagnosis, diagnose, exitCodes } = await import("../../doctor/diagnose.ts");
      const diagnosis = diagnose(await withOwnerConnection(readFacts));
      if (json) console.log(JSON.stringify(diagnosis, undefined, 2));
      else console.log(coloured(describeDiagnosis(diagnosis)));
      process.exitCode = exitCodes[diagnosis.severity];
    });
}
