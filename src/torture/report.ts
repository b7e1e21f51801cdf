import type { Findings } from "./checks.ts";
import type { Fault } from "./fault.ts";
import type { RunResult } from "./run.ts";

/** What `--json` writes. */
export interface TortureReport extends Findings {
  readonly seed: number;
  readonly seconds: number;
  readonly planned_faults: number;
  readonly operations: number;
  readonly faults: number;
  readonly failed_faults: readonly string[];
  readonly admitted_by_policy: number;
  readonly answers: Readonly<Record<string, number>>;
  readonly is_sound: boolean;
  /** The smallest schedule found that still fails; absent where the run was sound. */
  readonly schedule?: readonly Fault[];
}

export function reportOf(
  { seed, seconds, count }: { seed: number; seconds: number; count: number },
  result: RunResult,
): TortureReport {
  return {
    ...{
      seed,
      seconds,
      planned_faults: count,
      operations: result.operations,
      faults: result.faults,
    },
    ...result.findings,
    failed_faults: result.failedFaults,
    admitted_by_policy: result.admittedByPolicy,
    answers: result.counts,
    is_sound: isSound(result.findings),
  };
}

export function isSound(findings: Findings): boolean {
  return Object.values(findings).every((found) =>
    Array.isArray(found) ? found.length === 0 : found === 0,
  );
}

export function textOf(report: TortureReport): string {
  const { seconds, seed, planned_faults } = report;
  const lines = [
    `seed ${seed}, ${seconds} s: ${report.operations} operations, ${report.faults} faults`,
    ...(
      [
        ...["over_admitted", "ledger_gaps", "lease_imbalance", "reservation_breaches"],
        ...["lost_jobs", "uncharged", "left_locks", "left_connections"],
      ] as const
    ).map((key) => `  ${key}: ${report[key as keyof TortureReport]}`),
    ...report.surprises.map((surprise) => `  surprise: ${surprise}`),
    ...report.failed_faults.map((fault) => `  fault that failed: ${fault}`),
  ];
  if (report.is_sound) return [...lines, "every check holds"].join("\n");
  const schedule = (report.schedule ?? []).map((fault) => `  ${JSON.stringify(fault)}`);
  return [
    ...lines,
    `FAILED: run it again with --seconds ${seconds} --faults ${planned_faults} --seed ${seed}`,
    "the smallest schedule that still fails:",
    ...schedule,
  ].join("\n");
}
