import type { Random } from "../random.ts";

export const faultKinds = [
  "kill_client",
  "stop_client",
  "kill_worker",
  "stop_worker",
  "cut_traffic",
  "delay_traffic",
  "swallow_traffic",
  "reorder_traffic",
  "change_quota",
  "change_reservation",
  "change_ceiling",
  "revoke_key",
  "move_application",
  "crash_database",
  "fail_over",
  "migrate",
  "hold_snapshot",
  "lock_bucket",
  "step_clock",
  "fill_disk",
  "kill_gateway",
  "stop_gateway",
  "kill_api",
  "stop_api",
] as const;

/**
 * What a plan draws from. libfaketime aborts a process of the server now and then, a crash that the
 * run knows nothing of: the clock is set in runs of its own.
 */
export const plannedKinds = faultKinds.filter((kind) => kind !== "step_clock");

export type FaultKind = (typeof faultKinds)[number];

/** One fault: everything about it is decided before the run, so that a run can be repeated. */
export interface Fault {
  readonly atMs: number;
  readonly kind: FaultKind;
  /** How long it lasts, where it does not end by itself. */
  readonly forMs: number;
  /** Which of several targets, and how large a change: read by the fault itself. */
  readonly choice: number;
}

/** Faults that cost the run seconds come rarely. */
const weights: Partial<Record<FaultKind, number>> = {
  ...{ crash_database: 0.5, fail_over: 0, kill_api: 0.5, fill_disk: 0.5 },
};

/** Faults over the length of a run, in order; a failover comes once, in the middle of long runs. */
export function planFaults(random: Random, runMs: number, count: number): Fault[] {
  const pool = plannedKinds.flatMap((kind) =>
    Array.from({ length: Math.round(2 * (weights[kind] ?? 1)) }, () => kind),
  );
  const faults = Array.from({ length: count }, (_, number) => ({
    atMs: Math.round(((number + random.next()) * runMs * 0.9) / count),
    // Each kind comes once before chance decides.
    kind: number < plannedKinds.length ? (plannedKinds[number] as FaultKind) : random.pick(pool),
    forMs: random.between(100, 1_500),
    choice: random.between(0, 1_000_000),
  }));
  return shuffleKinds(random, faults);
}

function shuffleKinds(random: Random, faults: readonly Fault[]): Fault[] {
  const kinds = faults.map(({ kind }) => kind);
  for (let last = kinds.length - 1; last > 0; last -= 1) {
    const other = random.between(0, last);
    [kinds[last], kinds[other]] = [kinds[other] as FaultKind, kinds[last] as FaultKind];
  }
  return faults.map((fault, place) => ({ ...fault, kind: kinds[place] as FaultKind }));
}
