import type { JobHelpers } from "graphile-worker";
import type { DueCluster } from "./due-cluster.ts";
import type { Finding } from "./probe.ts";

/** Answers the new health, or undefined where the result came too late to count. */
export async function recordHealth(
  helpers: JobHelpers,
  { cluster_id: id, asked_at: askedAt }: DueCluster,
  { isUp, message }: Finding,
): Promise<string | undefined> {
  const answer = await helpers.query<{ status: string | null }>(
    "select rate_limiter_private.record_cluster_health($1, $2, $3, $4) as status",
    [id, askedAt, isUp, message],
  );
  return answer.rows[0]?.status ?? undefined;
}
