import type { WorkerEventMap, WorkerEvents } from "graphile-worker";

/** The flag of jobs that wait for receivers on the network (queue_deliveries in SQL). */
const flag = "delivery";

export interface DeliveryLimit {
  /** The flags of jobs that the slot that asks now must not take (`forbiddenFlags`). */
  readonly forbiddenFlags: () => string[] | null;
  /** The runner has ended. */
  readonly end: () => void;
}

/**
 * Leaves at least one of a runner's slots to jobs that are not deliveries. A slot that is asking the
 * queue counts as if it were about to get a delivery: two that ask at once cannot both take the last.
 * A runner with a single slot has none to leave; there, scheduled jobs come first by priority.
 */
export function limitDeliveries(events: WorkerEvents, concurrency: number): DeliveryLimit {
  const limit = Math.max(concurrency - 1, 1);
  const running = new Set<string>();
  let asking = 0;
  const hasAsked = () => {
    asking--;
  };
  const start = ({ job }: WorkerEventMap["job:start"]) => {
    hasAsked();
    if (job.flags?.[flag]) running.add(job.id);
  };
  const complete = ({ job }: WorkerEventMap["job:complete"]) => {
    running.delete(job.id);
  };
  events.on("worker:getJob:empty", hasAsked);
  events.on("worker:getJob:error", hasAsked);
  events.on("job:start", start);
  events.on("job:complete", complete);
  return {
    forbiddenFlags() {
      const isFull = running.size + asking >= limit;
      asking++;
      return isFull ? [flag] : null;
    },
    end() {
      events.off("worker:getJob:empty", hasAsked);
      events.off("worker:getJob:error", hasAsked);
      events.off("job:start", start);
      events.off("job:complete", complete);
    },
  };
}
