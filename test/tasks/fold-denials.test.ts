import { onTestFinished, test, vi } from "vitest";
import { startWorker } from "../../src/worker/worker.ts";
import { createDatabase } from "../harness/index.ts";
import { holdClock } from "../worker/hold-clock.ts";

const database = await createDatabase();

test("what was counted is folded again half a minute later, so that a crash loses less than one", async () => {
  await holdClock(database);
  const worker = await startWorker({
    databaseUrl: database.urlAs("rate_limiter_worker"),
    http: { host: "127.0.0.1", port: 0 },
  });
  onTestFinished(worker.stop);
  await database.sql`
    insert into rate_limiter.recent_denials
      (shard_key, app_id, minute, reason, writer, operations, tokens, bytes)
    values
      (1, gen_random_uuid(), date_trunc('minute', now()), 'iops_l2', 7, 4, 4, 0),
      -- A client's total.
      (1, gen_random_uuid(), date_trunc('minute', now()), 'iops_l2', 0, 5, 5, 0)
  `;
  await database.sql`select graphile_worker.add_job('fold_denials')`;
  await vi.waitFor(
    async () => {
      const [state] = await database.sql`
        select
          (select count(*)::integer from rate_limiter_internal.recent_denials()) as recent,
          (select sum(operations)::integer from rate_limiter.denial_counts) as folded,
          (select count(*)::integer from graphile_worker.jobs as j
            where j.task_identifier = 'fold_denials'
              and j.key = 'fold_denials_again'
              and j.run_at between now() and now() + interval '30 seconds') as again
      `;
      if (state?.recent !== 0 || state?.folded !== 9 || state?.again !== 1) {
        throw new Error(JSON.stringify(state));
      }
    },
    { timeout: 30_000 },
  );
});
