import type { MakeTask } from "../src/worker/task.ts";

interface Verification {
  readonly gap_count: string;
  readonly first_gaps: readonly object[];
}

/** A gap is reported by log, by metric (storage_qos_ledger_gaps) and by the Prometheus rule on it. */
export const makeTask: MakeTask = () => async (_payload, helpers) => {
  const answer = await helpers.query<Verification>(
    "select * from rate_limiter_private.verify_ledger()",
  );
  const found = answer.rows[0];
  if (found && found.gap_count !== "0") {
    helpers.logger.error(`the ledger has ${found.gap_count} gaps`, { gaps: found.first_gaps });
  }
};
