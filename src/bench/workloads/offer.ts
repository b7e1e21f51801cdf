import type { Histogram } from "hdr-histogram-js";

export interface Offer {
  readonly callers: number;
  readonly perSecond: number;
  readonly seconds: number;
  /** Microseconds from when a call was due, however late it began. */
  readonly histogram: Histogram;
}

/**
 * Calls that come due whether or not those before them are answered; at most one for each caller
 * is under way. Waits by turns of the event loop and not by timers, which are a millisecond
 * coarse: longer than what is measured.
 */
export async function offer(
  { callers, perSecond, seconds, histogram }: Offer,
  call: () => Promise<unknown>,
): Promise<void> {
  const start = performance.now();
  const total = Math.round(perSecond * seconds);
  const problems: unknown[] = [];
  let underWay = 0;
  const perform = async (due: number) => {
    underWay += 1;
    try {
      await call();
      histogram.recordValue(Math.max(1, Math.round((performance.now() - due) * 1000)));
    } catch (error) {
      problems.push(error);
    } finally {
      underWay -= 1;
    }
  };
  for (let next = 0; next < total && problems.length === 0; ) {
    const due = start + (next * 1000) / perSecond;
    if (underWay < callers && performance.now() >= due) {
      next += 1;
      void perform(due);
    } else {
      await new Promise(setImmediate);
    }
  }
  while (underWay > 0) await new Promise(setImmediate);
  if (problems.length > 0) throw problems[0];
}
