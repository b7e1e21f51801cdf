import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { commandGroups } from "../../src/cli/command-groups.ts";
import { commandsWithExitCodes, exitCodesOf } from "../../src/cli/exit-codes.ts";
import { projectPath } from "../../src/paths.ts";
import { runInProcess } from "./in-process.ts";

const page = readFileSync(projectPath("docs/configuration.md"), "utf8");

/** What commands say beyond the usual, with the commands that say the same. */
function told(): Map<string, string[]> {
  const rows = new Map<string, string[]>();
  const usual = exitCodesOf();
  for (const command of commandsWithExitCodes) {
    for (const [code, says] of Object.entries(exitCodesOf(command))) {
      if (usual[Number(code)] === says) continue;
      const row = `${code} | ${says} |`;
      rows.set(row, [...(rows.get(row) ?? []), `\`${command}\``]);
    }
  }
  return rows;
}

describe("exit codes", () => {
  test("are in one table", () => {
    const usual = Object.entries(exitCodesOf()).map(
      ([code, says]) => `| all, but for what follows | ${code} | ${says} |`,
    );
    const others = [...told()].map(([row, commands]) => `| ${commands.join(", ")} | ${row}`);
    const table = ["| command | exit code | says |", "|---|---|---|", ...usual, ...others].join(
      "\n",
    );
    expect(page).toContain(`${table}\n\n`);
  });

  test("are of commands that there are", () => {
    expect(Object.values(commandGroups).flat()).toEqual(
      expect.arrayContaining([...commandsWithExitCodes]),
    );
  });

  test.each([
    ["diff", "3  something differs"],
    ["get", "4  nothing of this name is there"],
    ["export", "2  wrong input, or what was asked for is refused: nothing was changed"],
  ])("are shown by %s --help", async (command, line) => {
    const { code, stdout } = await runInProcess(command, "--help");
    expect(code).toBe(0);
    expect(stdout).toContain(`\nExit codes:\n`);
    expect(stdout).toContain(`  ${line}\n`);
  });

  test.each(["jobs", "profile", "ledger"])(
    "of %s without its own command is 2",
    async (command) => {
      const { code, stderr } = await runInProcess(command);
      expect(code).toBe(2);
      expect(stderr).toContain("error: name one of its commands");
    },
  );
});
