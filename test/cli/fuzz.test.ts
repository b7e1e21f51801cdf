import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import fc from "fast-check";
import { afterAll, afterEach, beforeEach, expect, test, vi } from "vitest";
import { loadCommands } from "../../src/cli/load-commands.ts";
import { reportError } from "../../src/cli/report-error.ts";
import { hostileText, tries } from "../harness/hostile.ts";
import { createDatabase } from "../harness/index.ts";
import { inside } from "../harness/raw-request.ts";

const database = await createDatabase();
vi.stubEnv("DATABASE_URL", database.url);
// Profiles are kept there: not among those of who runs the tests.
const home = mkdtempSync(join(tmpdir(), "qos-fuzz-"));
vi.stubEnv("XDG_CONFIG_HOME", home);
afterAll(() => rmSync(home, { recursive: true }));
let told = vi.fn();
beforeEach(() => {
  told = vi.spyOn(console, "error").mockImplementation(() => {});
  vi.spyOn(console, "log").mockImplementation(() => {});
  vi.spyOn(process.stdout, "write").mockImplementation(() => true);
});
afterEach(() => {
  process.exitCode = undefined;
});

/** These serve until they are told to end, change this repository, or run for minutes. */
const left = new Set([
  ...["start", "worker", "api", "dev", "test-changes", "build-client", "build-server"],
  ...["bench", "torture", "simulate"],
  ...[
    "migrate",
    "commit",
    "uncommit",
    "refreeze",
    "snapshot",
    "diagram",
    "prepare",
    "explain",
    "console-types",
  ],
  ...["seed-demo"],
]);

async function newProgram(): Promise<Command> {
  const program = new Command("storage-qos").exitOverride();
  await loadCommands(program, undefined);
  return silenced(program);
}

/** Subcommands were made before their parent was told to throw. */
function silenced(command: Command): Command {
  command.exitOverride().configureOutput({ writeOut() {}, writeErr() {}, outputError() {} });
  command.commands.forEach(silenced);
  return command;
}

interface Leaf {
  readonly path: readonly string[];
  readonly command: Command;
}

function leavesOf(command: Command, path: readonly string[] = []): Leaf[] {
  if (command.commands.length === 0) return [{ path, command }];
  return command.commands.flatMap((child) => leavesOf(child, [...path, child.name()]));
}

const leaves = leavesOf(await newProgram()).filter(({ path }) => !left.has(path[0] ?? ""));

/** As an operating system can pass it on. */
const value = fc
  .oneof(hostileText, fc.constantFrom("0", "-1", "1e9", "1:2:3", "/dev/null", "2026-13-01", "{}"))
  .map((text) => text.replaceAll("\0", "").toWellFormed());

function argumentsOf({ command }: Leaf): fc.Arbitrary<string[]> {
  const option = fc
    .tuple(fc.constantFrom(...command.options, undefined), value)
    .map(([known, text]) => {
      if (known === undefined) return [text];
      const name = known.long ?? known.short ?? "";
      return known.required || known.optional ? [name, text] : [name];
    });
  const wanted = command.registeredArguments.length;
  const lengths = { minLength: Math.max(wanted - 1, 0), maxLength: wanted };
  return fc
    .tuple(fc.array(value, lengths), fc.array(option, { maxLength: 3 }))
    .map(([values, options]) => [...options.flat(), ...values]);
}

test("the list of commands is whole", () => {
  expect(leaves.length).toBeGreaterThan(12);
});

test.each(leaves.map((leaf) => [leaf.path.join(" "), leaf] as const))(
  "%s answers hostile arguments with an error of its own",
  async (_, leaf) => {
    await fc.assert(
      fc.asyncProperty(argumentsOf(leaf), async (values) => {
        const program = await newProgram();
        try {
          await program.parseAsync([...leaf.path, ...values], { from: "user" });
        } catch (error) {
          told.mockClear();
          expect([0, 1, 2]).toContain(reportError(error));
          // What is not meant for the reader is told with its stack.
          const text = told.mock.calls.flat().join("\n");
          expect(text).toMatch(/\(\w+\)|does not answer/);
          expect(text).not.toMatch(inside);
        }
      }),
      tries(8),
    );
  },
  600_000,
);
