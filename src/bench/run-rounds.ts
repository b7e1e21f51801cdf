import { logFor } from "../log.ts";
import type { Bench, Running, Sample, Workload } from "./types.ts";

const log = logFor("bench");

export interface Measured {
  readonly workload: Workload;
  /** One for each round; undefined where it was not its turn. */
  readonly samples: readonly (Sample | undefined)[];
  readonly missing?: string;
}

/**
 * Every workload once a round, every other round in the opposite order: what else the machine does
 * meets all of them alike, and a ratio compares two figures that were measured soon after another.
 */
export async function runRounds(
  bench: Bench,
  workloads: readonly Workload[],
  rounds: number,
): Promise<Map<string, Measured>> {
  const measured = new Map<string, Measured>();
  const running = new Map<Workload, Running>();
  try {
    for (const workload of workloads) {
      const missing = await workload.missing?.(bench);
      measured.set(workload.name, { workload, samples: [], ...(missing ? { missing } : {}) });
      if (missing !== undefined || workload.afterRounds) continue;
      running.set(workload, await workload.start(bench));
    }
    for (let round = 0; round < rounds; round++) {
      await runRound(round, running, measured);
      log.info({ round: round + 1, rounds }, "a round was measured");
    }
  } finally {
    for (const one of running.values()) await one.stop?.();
  }
  for (const workload of workloads.filter(({ afterRounds }) => afterRounds)) {
    if (measured.get(workload.name)?.missing === undefined) {
      log.info({ workload: workload.name }, "the rounds are over: measuring one by one");
      await runAfterwards(bench, workload, measured);
    }
  }
  return measured;
}

async function runAfterwards(
  bench: Bench,
  workload: Workload,
  measured: Map<string, Measured>,
): Promise<void> {
  try {
    const running = await workload.start(bench);
    try {
      await runRound(0, new Map([[workload, running]]), measured);
    } finally {
      await running.stop?.();
    }
  } catch (error) {
    measured.set(workload.name, failed({ workload, samples: [] }, error));
  }
}

async function runRound(
  round: number,
  running: ReadonlyMap<Workload, Running>,
  measured: Map<string, Measured>,
): Promise<void> {
  const order = [...running];
  if (round % 2 === 1) order.reverse();
  for (const [workload, one] of order) {
    const before = measured.get(workload.name) as Measured;
    if (before.missing !== undefined) continue;
    const isOver = workload.once === true && round > 0;
    try {
      const sample = isOver ? undefined : await one.round();
      log.debug({ round, workload: workload.name, figure: sample?.figure }, "measured");
      measured.set(workload.name, { ...before, samples: [...before.samples, sample] });
    } catch (error) {
      measured.set(workload.name, failed(before, error));
    }
  }
}

/** One that fails is named in the report, and the others keep their figures. */
function failed(before: Measured, error: unknown): Measured {
  log.error({ err: error, workload: before.workload.name }, "a workload failed");
  return { ...before, missing: `failed: ${(error as Error).message}` };
}
