import type { DueCluster } from "../src/worker/health/due-cluster.ts";
import { makeProbe } from "../src/worker/health/probe.ts";
import { recordHealth } from "../src/worker/health/record-health.ts";
import type { MakeTask } from "../src/worker/task.ts";

/** Clusters that one run probes at once. */
const batchSize = 16;

/** A run ends before the clock starts the next one: that one goes on with those unasked longest. */
const runMs = 45_000;

export const makeTask: MakeTask = ({ health }) => {
  const probe = makeProbe(health);
  return async (_payload, helpers) => {
    const { abortSignal, logger } = helpers;
    const started = performance.now();
    let count: number;
    do {
      const { rows } = await helpers.query<DueCluster>(
        "select * from rate_limiter_private.probe_clusters(batch_size => $1)",
        [batchSize],
      );
      count = rows.length;
      await Promise.all(
        rows.map(async (cluster) => {
          const finding = await probe(cluster.health_check_url, abortSignal);
          if (abortSignal.aborted) return;
          const status = await recordHealth(helpers, cluster, finding);
          if (finding.isUp === true) return;
          logger.warn(`a cluster is ${status ?? "not judged"}: ${finding.message}`, {
            cluster: cluster.cluster_id,
          });
        }),
      );
    } while (count === batchSize && !abortSignal.aborted && performance.now() - started < runMs);
  };
};
