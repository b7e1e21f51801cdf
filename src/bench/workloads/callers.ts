import { latencyOf, newHistogram } from "../driver/latency.ts";
import type { Sample } from "../types.ts";

const warmUpSeconds = 1;

/**
 * So many callers in this process, each calling again as soon as it has its answer. The first
 * second counts for nothing.
 */
export async function callAtOnce(
  callers: number,
  seconds: number,
  call: () => Promise<unknown>,
): Promise<Sample> {
  await callFor(callers, warmUpSeconds, call);
  return callFor(callers, seconds, call);
}

async function callFor(
  callers: number,
  seconds: number,
  call: () => Promise<unknown>,
): Promise<Sample> {
  const histogram = newHistogram();
  const start = performance.now();
  const end = start + seconds * 1000;
  let calls = 0;
  const caller = async () => {
    for (let now = performance.now(); now < end; ) {
      await call();
      const after = performance.now();
      histogram.recordValue(Math.max(1, Math.round((after - now) * 1000)));
      calls += 1;
      now = after;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return {
    figure: (calls * 1000) / (performance.now() - start),
    latency: latencyOf(histogram),
  };
}

/** Checks of a limiter in memory, one after the other: a loop that measures little but them. */
export async function callInTurn(seconds: number, call: () => unknown): Promise<Sample> {
  const batch = 1000;
  const start = performance.now();
  const end = start + seconds * 1000;
  let calls = 0;
  while (performance.now() < end) {
    for (let i = 0; i < batch; i++) {
      const answer = call();
      if (answer instanceof Promise) await answer;
    }
    calls += batch;
    // Timers, such as those of lease renewals, get their turn.
    await new Promise(setImmediate);
  }
  return { figure: (calls * 1000) / (performance.now() - start) };
}
