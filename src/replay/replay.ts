import { withDatabaseCopy } from "../postgres/database-copy.ts";
import { withThrowawayDatabase } from "../postgres/throwaway-database.ts";
import { loadWorld } from "../vectors/load-world.ts";
import { decide } from "./decide.ts";
import type { Recording } from "./read-trace.ts";
import { APPLICATION, type ReplayQuotas, replayWorld } from "./replay-world.ts";
import { Tally, type Totals } from "./tally.ts";

/** Runs a recorded workload against quotas in virtual time, in a database of its own. */
export async function replay(
  recording: Recording,
  quotas: ReplayQuotas,
  progress: (done: number) => void,
): Promise<Totals> {
  const world = JSON.stringify(replayWorld(recording.epoch, quotas));
  return withThrowawayDatabase(({ url }) =>
    withDatabaseCopy(url, async (sql) => {
      const names = await loadWorld(sql, world);
      const application = names.applications?.[APPLICATION] as string;
      const tally = new Tally();
      let done = 0;
      for await (const batch of decide(sql, application, recording)) {
        for (const decided of batch) tally.add(decided);
        done += batch.length;
        progress(done);
      }
      return tally.totals();
    }),
  );
}
