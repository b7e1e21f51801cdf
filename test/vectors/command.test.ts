import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { runVectors } from "../../src/vectors/vectors.ts";
import { createDatabase } from "../harness/index.ts";

const admitted = {
  allowed: true,
  reason: null,
  cost: "5.000000",
  remaining: "15.000000",
  remaining_bytes: null,
  retry_after_ms: 0,
  delay_ms: 0,
};

const world = {
  name: "of this test",
  epoch: "2026-01-01T00:00:00Z",
  applications: [{ name: "a", cluster: "c" }],
  quotas: [
    {
      owner: "app:a",
      valid_from_us: -1_000_000,
      valid_to_us: null,
      mode: "enforce",
      iops: {
        iops_limit: 10,
        iops_burst: 20,
        burst_duration_seconds: 1,
        refill_rate: 10,
        calculation_method: "token_bucket",
        min_reserve: 0,
      },
      bandwidth: null,
    },
  ],
  operation_types: [{ name: "scan", c_base: "0.5", unit_quantum: 10, c_bw: "0.1" }],
  settings: { max_borrow_duration: 60 },
  steps: [
    { at_us: 0, call: "consume", app: "a", operation: "delete", size: 0 },
    { at_us: 0, call: "consume", app: "a", operation: "scan", size: 1 },
    { at_us: 0, call: "consume", app: "a", operation: "no_such", size: 0 },
    { at_us: 0, call: "consume", app: "a", operation: "delete", size: 0 },
    { at_us: 1, call: "consume", app: "a", operation: "write_large", size: null },
  ],
  expect: [
    admitted,
    { ...admitted, cost: "0.510000", remaining: "14.490000" },
    { error: "unknown_operation" },
    { ...admitted, remaining: "9.490000" },
    {
      ...admitted,
      allowed: false,
      reason: "iops_l2",
      cost: "10.000000",
      remaining: "9.490010",
      retry_after_ms: 51,
    },
  ],
};

function fileOf(content: unknown): string {
  const folder = mkdtempSync(join(tmpdir(), "vectors-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "file.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

async function run(check: boolean, ...paths: string[]) {
  const printed: string[] = [];
  const told: string[] = [];
  const command = {
    paths,
    check,
    print: (line: string) => printed.push(line),
    tell: (line: string) => told.push(line),
  };
  const passed = await runVectors(command, async (use) => use(await createDatabase()));
  return { passed, printed, told };
}

describe("vectors", () => {
  it("prints one JSON line a file, with keys in the order of expect", async () => {
    const path = fileOf(world);
    const { printed, told } = await run(false, path, path);
    const line = JSON.stringify({ file: path, answers: world.expect });
    expect(printed).toEqual([line, line]);
    expect(told).toEqual([]);
  });

  it("checks, and tells the first differences", async () => {
    const [first, ...rest] = world.expect;
    const wrong = { ...world, expect: [{ ...first, remaining: "15.000001" }, ...rest] };
    const { passed, printed, told } = await run(true, fileOf(world), fileOf(wrong));
    expect(passed).toBe(false);
    expect(printed).toEqual([]);
    expect(told[0]).toMatch(/5 as expected$/);
    expect(told[1]).toMatch(/1 of 5 answers differ$/);
    expect(told[2]).toMatch(/^step 0: .*\n {2}expected .*15\.000001.*\n {2}answered .*15\.000000/);
    expect(told).toHaveLength(3);
  });

  it("knows no application and no cluster but those of the file", async () => {
    const steps = [
      { at_us: 0, call: "consume", app: "constructor", operation: "head" },
      {
        at_us: 0,
        call: "borrow",
        app: "a",
        id: "b",
        kind: "iops_l2",
        tokens: "1",
        lender: "cluster:toString",
        duration_seconds: 1,
      },
    ];
    const expected = [{ error: "unknown_application" }, { error: "lender_not_allowed" }];
    const { passed, told } = await run(true, fileOf({ ...world, steps, expect: expected }));
    expect({ passed, told }).toMatchObject({ passed: true });
  });

  it.each([
    ["not JSON", "{", /not JSON/],
    ["an array", [], /must be object/],
    ["no steps", { ...world, steps: undefined }, /steps/],
    ["a bad epoch", { ...world, epoch: "yesterday" }, /\/epoch/],
    [
      "an unknown call",
      { ...world, steps: [{ at_us: 0, call: "steal" }] },
      /\/steps\/0\/call.*consume/,
    ],
    [
      "no app",
      { ...world, steps: [{ at_us: 0, call: "consume", operation: "head" }] },
      /\/steps\/0.*app/,
    ],
    [
      "a fraction of a microsecond",
      { ...world, steps: [{ at_us: 0.5, call: "repay", id: "x" }] },
      /at_us/,
    ],
    [
      "a size that is not whole",
      {
        ...world,
        steps: [{ at_us: 0, call: "consume", app: "a", operation: "head", size: 0.5 }],
      },
      /\/steps\/0\/size/,
    ],
    ["too few answers", { ...world, expect: [] }, /5 steps and 0 answers/],
    ["nothing to check", { ...world, expect: undefined }, /no expect/],
  ])("refuses a file with %s", async (_what, content, message) => {
    const refused = run(true, fileOf(content));
    const hint = expect.stringMatching(/\w/);
    await expect(refused).rejects.toMatchObject({
      code: "vectors_malformed",
      message: expect.stringMatching(message),
      hint,
    });
  });

  it("refuses a file that cannot be read", async () => {
    const missing = run(false, `${fileOf(world)}.not-there`);
    await expect(missing).rejects.toMatchObject({ code: "vectors_unreadable" });
  });
});
