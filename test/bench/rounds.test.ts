import { expect, test } from "vitest";
import { charts, renderReport, renderSummary } from "../../src/bench/report.ts";
import { toResults } from "../../src/bench/results.ts";
import { runRounds } from "../../src/bench/run-rounds.ts";
import type { Bench, Ratio, Workload } from "../../src/bench/types.ts";
import { machine } from "./machine.ts";

const bench = {} as Bench;

function workload(name: string, figures: number[], more: Partial<Workload> = {}): Workload {
  return {
    ...{ name, says: `what ${name} is`, unit: "per second" },
    start: async () => {
      let turn = 0;
      return { round: async () => ({ figure: figures[turn++] ?? Number.NaN }) };
    },
    ...more,
  };
}

function ratio(name: string, goal: number, needs: Workload[]): Ratio {
  return {
    ...{ name, goal, needs, says: `what ${name} is` },
    value: ([above, below]) => (above?.figure ?? 0) / (below?.figure ?? 1),
  };
}

const fast = workload("fast", [100, 300, 200]);
const slow = workload("slow", [50, 100, 200]);
const gone = workload("gone", [], { missing: async () => "it is not installed" });

async function measured() {
  const rounds = await runRounds(bench, [fast, slow, gone], 3);
  const wanted = [ratio("fast_vs_slow", 1.5, [fast, slow]), ratio("gone_vs_slow", 1, [gone, slow])];
  return toResults(machine, rounds, wanted, [slow]);
}

test("a ratio is the median of the rounds' ratios, not the ratio of medians", async () => {
  const { ratios, floors, detail } = await measured();
  expect(ratios).toEqual({ fast_vs_slow: 2, gone_vs_slow: null });
  expect(floors).toEqual({ slow: 100 });
  expect(detail.ratios[0]).toMatchObject({ median: 2, least: 1, most: 3, reached: true });
  expect(detail.ratios[1]).toMatchObject({ missing: "it is not installed", reached: null });
});

test("every other round goes backwards, and everything started is stopped", async () => {
  const turns: string[] = [];
  const noted = (name: string): Workload => ({
    ...{ name, says: name, unit: "per second" },
    start: async () => ({
      round: async () => ({ figure: turns.push(name) }),
      stop: async () => void turns.push(`${name} stopped`),
    }),
  });
  await runRounds(bench, [noted("a"), noted("b")], 2);
  expect(turns).toEqual(["a", "b", "b", "a", "a stopped", "b stopped"]);
});

test("what is measured once is measured in the first round", async () => {
  const rounds = await runRounds(bench, [workload("long", [7, 8], { once: true })], 2);
  expect(rounds.get("long")?.samples).toEqual([{ figure: 7 }, undefined]);
});

test("one that fails is named, and the others keep their figures", async () => {
  const broken = workload("broken", [], {
    start: async () => ({ round: () => Promise.reject(new Error("out of luck")) }),
  });
  const rounds = await runRounds(bench, [broken, workload("sound", [1, 2])], 2);
  expect(rounds.get("broken")?.missing).toBe("failed: out of luck");
  expect(rounds.get("sound")?.samples).toEqual([{ figure: 1 }, { figure: 2 }]);
});

test("the report names what is missing and why", async () => {
  const results = await measured();
  const page = renderReport(results);
  expect(page).toContain("| `fast_vs_slow` | 2 (1 to 3) | >= 1.5 | yes |");
  expect(page).toContain("| `gone_vs_slow` | none | >= 1 | it is not installed |");
  expect(renderSummary(results)).toMatch(/fast_vs_slow\s+2 \(1 to 3\)\s+>= 1.5\s+yes/);
});

test("charts draw each workload that was measured, and no other", async () => {
  const { throughput } = charts(await measured());
  expect(throughput).toContain(">fast</text>");
  expect(throughput).not.toContain(">gone</text>");
  expect(throughput).not.toMatch(/NaN|undefined|Infinity/);
});

test("what would disturb the rounds starts when they are over, and stops before the next", async () => {
  const turns: string[] = [];
  const noted = (name: string, afterRounds: boolean): Workload => ({
    ...{ name, says: name, unit: "per second", afterRounds },
    start: async () => {
      turns.push(`${name} started`);
      return {
        round: async () => ({ figure: turns.push(name) }),
        stop: async () => void turns.push(`${name} stopped`),
      };
    },
  });
  const workloads = [noted("large", true), noted("huge", true), noted("a", false)];
  const rounds = await runRounds(bench, workloads, 2);
  expect(turns).toEqual([
    ...["a started", "a", "a", "a stopped", "large started", "large", "large stopped"],
    ...["huge started", "huge", "huge stopped"],
  ]);
  expect(rounds.get("large")?.samples).toHaveLength(1);
});

test("one that cannot even start after the rounds is named", async () => {
  const broken = workload("broken", [], {
    afterRounds: true,
    start: () => Promise.reject(new Error("no room")),
  });
  const rounds = await runRounds(bench, [broken, workload("sound", [1])], 1);
  expect(rounds.get("broken")?.missing).toBe("failed: no room");
  expect(rounds.get("sound")?.samples).toEqual([{ figure: 1 }]);
});

test("a ratio without a goal is reported and neither reached nor missed; notes come with it", async () => {
  const noting = workload("noting", [], {
    start: async () => ({ round: async () => ({ figure: 3, notes: { rows: 7 } }) }),
  });
  const rounds = await runRounds(bench, [noting], 1);
  const compared: Ratio = {
    ...{ name: "just_so", says: "what it is", needs: [noting] },
    value: ([only]) => only?.figure ?? Number.NaN,
  };
  const results = toResults(machine, rounds, [compared], []);
  expect(results.detail.ratios[0]).toMatchObject({ median: 3, goal: null, reached: null });
  expect(results.detail.workloads[0]?.notes).toEqual({ rows: 7 });
  const page = renderReport(results);
  expect(page).toContain("| `just_so` | 3 (3 to 3) | none |  |");
  expect(page).toContain("what noting is; rows 7 |");
  expect(charts(results).goals).not.toContain("just_so");
});
