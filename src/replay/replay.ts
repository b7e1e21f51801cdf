import { type WithEmptyDatabase, withThrowawayDatabase } from "../migrations/throwaway-database.ts";
import { connect } from "../postgres/connect.ts";
import { withRole } from "../postgres/url.ts";
import { loadFunctions } from "../worlds/load-functions.ts";
import { loadWorld } from "../worlds/load-world.ts";
import { decide } from "./decide.ts";
import { decideWithRetries } from "./decide-with-retries.ts";
import type { Recording } from "./read-trace.ts";
import { type ReplayQuotas, replayWorld } from "./replay-world.ts";
import { type Decided, Tally, type Totals } from "./tally.ts";

export interface Asked {
  readonly quotas: ReplayQuotas;
  /** How often a throttled operation is asked for again. */
  readonly retries: number;
}

/** Runs a recorded workload against quotas in virtual time, in a database of its own. */
export async function replay(
  recording: Recording,
  { quotas, retries }: Asked,
  progress: (done: number) => void,
  withEmptyDatabase: WithEmptyDatabase = withThrowawayDatabase,
): Promise<Totals> {
  const world = JSON.stringify(replayWorld(recording.epoch, quotas, recording.trace.applications));
  return withEmptyDatabase(async ({ url }) => {
    const sql = connect(withRole(url, "rate_limiter_owner"), { max: 1 });
    try {
      const names = await loadWorld(sql, world);
      await loadFunctions(sql, new URL("sql/", import.meta.url));
      const ids = new Map(Object.entries(names.applications ?? {}));
      const idOf = (name: string) => ids.get(name) as string;
      const decisions =
        retries > 0
          ? decideWithRetries(sql, idOf, recording, retries)
          : decide(sql, idOf, recording);
      return await tallied(decisions, progress);
    } finally {
      await sql.end();
    }
  });
}

async function tallied(
  batches: AsyncIterable<Decided[]>,
  progress: (done: number) => void,
): Promise<Totals> {
  const tally = new Tally();
  let done = 0;
  for await (const batch of batches) {
    for (const decided of batch) tally.add(decided);
    done += batch.filter(({ isLast }) => isLast).length;
    progress(done);
  }
  return tally.totals();
}
