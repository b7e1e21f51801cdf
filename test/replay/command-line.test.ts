import { execFile } from "node:child_process";
import { describe, expect, inject, it } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { temporaryFile } from "./files.ts";

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function qos(...args: string[]): Promise<Outcome> {
  return qosWith("", ...args);
}

function qosWith(input: string, ...args: string[]): Promise<Outcome> {
  const env = { ...process.env, DATABASE_URL: inject("harness").url };
  return new Promise((resolve) => {
    const command = [projectPath("src/cli/main.ts"), ...args];
    const child = execFile(process.execPath, command, { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
    child.stdin?.end(input);
  });
}

describe("the command line", () => {
  const trace = "offset_us,operation,size_bytes\n0,read,4096\n1,read,4096\n";

  it("prints one object and nothing else with --json", async () => {
    const path = temporaryFile("t.csv", trace);
    const { code, stdout } = await qos("replay", path, "--iops", "2:2:1", "--json");
    expect(code).toBe(0);
    expect(stdout.trim().split("\n")).toHaveLength(1);
    expect(JSON.parse(stdout)).toMatchObject({ admitted: 1, throttled: 1 });
  });

  it("reads standard input, and ends with 3 where too much was throttled", async () => {
    const asked = ["replay", "-", "--iops", "2:2:1", "--json", "--fail-over", "49%"];
    const { code, stdout } = await qosWith(trace, ...asked);
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ admitted: 1, throttled: 1 });
  });

  it.each([
    ["bad input", "trace_clock_steps_back", `${trace}0,read,1\n`, []],
    ["a bad value", "bad_option", trace, ["--iops", "10"]],
    ["an unknown option", "bad_usage", trace, ["--iop", "10"]],
  ])(
    "answers %s with code, hint and exit code 2, and prints nothing",
    async (_, word, of, more) => {
      const outcome = await qos("replay", temporaryFile("t.csv", of), ...more, "--json");
      expect(outcome).toMatchObject({ code: 2, stdout: "" });
      expect(outcome.stderr).toMatch(new RegExp(`^error: .* \\(${word}\\)\\nhint: .+\\n$`));
    },
  );

  it("answers a malformed vector file in the same way", async () => {
    const outcome = await qos("vectors", temporaryFile("v.json", "{}"));
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
    expect(outcome.stderr).toMatch(/^error: .* \(vectors_malformed\)\nhint: .+\n$/);
  });
});
