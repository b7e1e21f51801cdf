import { connect } from "../postgres/connect.ts";
import { type WithEmptyDatabase, withThrowawayDatabase } from "../postgres/throwaway-database.ts";
import { withRole } from "../postgres/url.ts";
import { loadFunctions } from "../worlds/load-functions.ts";
import { loadWorld } from "../worlds/load-world.ts";
import { decide } from "./decide.ts";
import type { Recording } from "./read-trace.ts";
import { APPLICATION, type ReplayQuotas, replayWorld } from "./replay-world.ts";
import { type Decided, Tally, type Totals } from "./tally.ts";

/** Runs a recorded workload against quotas in virtual time, in a database of its own. */
export async function replay(
  recording: Recording,
  quotas: ReplayQuotas,
  progress: (done: number) => void,
  withEmptyDatabase: WithEmptyDatabase = withThrowawayDatabase,
): Promise<Totals> {
  const world = JSON.stringify(replayWorld(recording.epoch, quotas));
  return withEmptyDatabase(async ({ url }) => {
    const sql = connect(withRole(url, "rate_limiter_owner"), { max: 1 });
    try {
      const names = await loadWorld(sql, world);
      await loadFunctions(sql, new URL("sql/", import.meta.url));
      const application = names.applications?.[APPLICATION] as string;
      return await tallied(decide(sql, application, recording), progress);
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
    done += batch.length;
    progress(done);
  }
  return tally.totals();
}
