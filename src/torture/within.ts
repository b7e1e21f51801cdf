const waits = new Set<{ readonly what: string }>();

/** What the run waits for at this moment: told where it does not end. */
export const openWaits = (): readonly string[] => [...waits].map(({ what }) => what);

/** A wait that reached its limit. */
export class StillWaiting extends Error {
  constructor(what: string, ms: number) {
    super(`still waiting after ${Math.round(ms / 1_000)} s: ${what}`);
  }
}

/** Every wait of a run has a limit, so that a run ends: with a result, or with what it waited for. */
export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  // Where the limit comes first, the work may still fail later.
  work.catch(() => {});
  const wait = { what };
  waits.add(wait);
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new StillWaiting(what, ms)), ms);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
    waits.delete(wait);
  }
}
