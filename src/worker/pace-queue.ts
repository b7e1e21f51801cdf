import type { EventEmitter } from "node:events";
import { paceNotifications } from "../postgres/pace-notifications.ts";

/**
 * The queue's library looks for a job at each notification, and ends at one that announces a change
 * of its schema: the former once a round is enough, and the latter only the migration command does,
 * before which workers are stopped. Any login could send either.
 */
export function paceQueue(client: EventEmitter): void {
  paceNotifications(client, { roundMs: 100, mostOfRound: 1_000, merge });
}

function merge(channel: string, payloads: readonly string[]): string | undefined {
  if (channel !== "jobs:insert") return undefined;
  const count = payloads.map(jobsIn).reduce((sum, jobs) => sum + jobs, 0);
  return count > 0 ? JSON.stringify({ count }) : undefined;
}

function jobsIn(payload: string): number {
  try {
    const { count = 1 } = Object(JSON.parse(payload));
    return typeof count === "number" ? Math.max(count, 0) : 0;
  } catch {
    return 1;
  }
}
