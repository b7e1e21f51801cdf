import { availableParallelism } from "node:os";
import { turns } from "../fairness/turns.ts";

/** Runs hashes in the thread pool, few at a time: they must not slow what else the process does. */
export interface HashQueue {
  /** Source: an address, which takes turns with all others. */
  run<T>(source: string, work: () => Promise<T>): Promise<T>;
}

export function hashQueue(): HashQueue {
  const running = Math.max(1, Math.floor(availableParallelism() / 2));
  const slots = turns({
    ...{ running, runningOfTenant: running, runningOfUser: running },
    ...{ waiting: 100, waitingOfUser: 20 },
  });
  return {
    async run(source, work) {
      const giveBack = await slots.take({ user: source, tenant: source });
      try {
        return await work();
      } finally {
        giveBack();
      }
    },
  };
}
