import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OperationCost } from "../../src/client/costs/operation-cost.ts";
import { projectPath } from "../../src/paths.ts";
import { goldenVectors } from "../vectors/golden.ts";
import { hasLua } from "./lua.ts";

type Asked = readonly [cBase: string, cBw: string, unitQuantum: string, size: number];

/** The gateway's own arithmetic, outside nginx. */
function costsInLua(asked: readonly Asked[]): string[] {
  const path = projectPath("src/gateway/lua/?.lua");
  const { stdout, stderr, status } = spawnSync(
    "luajit",
    [projectPath("test/conformance/costs.lua")],
    { input: JSON.stringify(asked), env: { ...process.env, LUA_PATH: `${path};;` } },
  );
  if (status !== 0) throw new Error(String(stderr));
  return JSON.parse(String(stdout));
}

/** What test/client/operation-cost.test.ts holds against SQL and the vectors. */
function costsInTypeScript(asked: readonly Asked[]): string[] {
  return asked.map(([cBase, cBw, quantum, size]) => {
    const cost = new OperationCost(cBase, cBw, quantum).of(size);
    return Number.isFinite(cost) ? cost.toFixed(0) : "too large";
  });
}

describe.skipIf(!hasLua)("costs in Lua have the digits of those in TypeScript", () => {
  test("where a double counts them: whatever the terms and the size", () => {
    const money = fc
      .integer({ min: 0, max: 9_999_999_999 })
      .map((n) => `${Math.floor(n / 10_000)}.${String(n % 10_000).padStart(4, "0")}`);
    const quantum = fc.oneof(fc.integer({ min: 1, max: 1 << 20 }), fc.maxSafeNat());
    const size = fc.oneof(fc.nat(1 << 20), fc.maxSafeNat());
    const asked = fc
      .sample(fc.tuple(money, money, quantum, size), { numRuns: 5_000, seed: 6 })
      .map(([cBase, cBw, unit, bytes]): Asked => [cBase, cBw, String(Math.max(unit, 1)), bytes]);
    const [inLua, exact] = [costsInLua(asked), costsInTypeScript(asked)];
    const counted = inLua.flatMap((cost, index) =>
      cost === "too large" ? [] : [[asked[index], cost, exact[index]]],
    );
    // Lua has no BigInt: it leaves more to the database than TypeScript does, and never errs.
    expect(counted.length).toBeGreaterThan(500);
    for (const [terms, lua, typescript] of counted)
      expect([terms, lua]).toEqual([terms, typescript]);
  });

  test("on both sides of what a double counts exactly", () => {
    const sizes = [0, 1, 4_095, 4_096, 4_097, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER];
    const terms = [
      ["1.0000", "0.0001", "4096"],
      ["0.3333", "1.7000", "3"],
      ["999999.9999", "999999.9999", "1"],
      ["5.0000", "0.0000", "1"],
    ] as const;
    const asked = terms.flatMap((term) => sizes.map((size): Asked => [...term, size]));
    const [inLua, exact] = [costsInLua(asked), costsInTypeScript(asked)];
    inLua.forEach((cost, index) => {
      if (cost !== "too large") expect([asked[index], cost]).toEqual([asked[index], exact[index]]);
    });
    expect(inLua.filter((cost) => cost !== "too large").length).toBeGreaterThan(15);
  });

  test("of every operation in the golden vectors", () => {
    const asked: Asked[] = goldenVectors.flatMap((path) => {
      const vector = JSON.parse(readFileSync(path, "utf8"));
      const sizes: number[] = vector.steps.map((step: { size?: number }) => step.size ?? 0);
      const types: Record<string, string>[] = vector.operation_types ?? [];
      return types.flatMap((type) =>
        sizes.map((size): Asked => {
          const { c_base, c_bw, unit_quantum } = type;
          return [String(c_base), String(c_bw), String(unit_quantum), size];
        }),
      );
    });
    expect(asked.length).toBeGreaterThan(0);
    expect(costsInLua(asked)).toEqual(costsInTypeScript(asked));
  });
});
