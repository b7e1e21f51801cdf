import { expect, test } from "vitest";
import type { Findings } from "../../src/torture/checks.ts";
import { reportOf, textOf } from "../../src/torture/report.ts";

const sound: Findings = {
  ...{ over_admitted: 0, ledger_gaps: 0, lease_imbalance: 0, reservation_breaches: 0 },
  ...{ lost_jobs: 0, uncharged: 0, left_locks: 0, left_connections: 0, surprises: [] },
};

function reportWith(findings: Partial<Findings>) {
  return reportOf(
    { seed: 7, seconds: 60, count: 25 },
    {
      ...{ operations: 100, faults: 24, failedFaults: ["migrate: 55P03 lock timeout"] },
      ...{ counts: { allowed: 100 }, admittedByPolicy: 3 },
      findings: { ...sound, ...findings },
    },
  );
}

test("a sound run has the keys that were promised", () => {
  expect(reportWith({})).toMatchObject({
    ...{ operations: 100, faults: 24, over_admitted: 0, ledger_gaps: 0, lease_imbalance: 0 },
    ...{ reservation_breaches: 0, lost_jobs: 0, uncharged: 0, is_sound: true },
  });
  expect(textOf(reportWith({}))).toContain("every check holds");
});

test.each([{ uncharged: 1 }, { surprises: ["a client got XX000"] }])(
  "a run that found %o is not sound, and says how to run it again",
  (findings) => {
    const report = reportWith(findings);
    expect(report.is_sound).toBe(false);
    expect(textOf(report)).toContain("--seconds 60 --faults 25 --seed 7");
  },
);
