import { createLimiter, type Limiter } from "../../client/index.ts";
import { withParameter } from "../../postgres/url.ts";
import type { Bench } from "../types.ts";

/** The client for the first application of a group, once it holds a lease. */
export async function benchLimiter(bench: Bench, group: string): Promise<Limiter> {
  const [row] = await bench.sql<[{ id: string }]>`select md5(${`${group} 1`})::uuid as id`;
  const limiter = createLimiter({
    connection: withParameter(bench.url, "options", "-c role=rate_limiter_app"),
    application: row.id,
  });
  await limiter.ready();
  return limiter;
}

/** Operations that the client admitted so far. */
export function admitted(limiter: Limiter): number {
  return limiter.status().own?.allowed ?? 0;
}
