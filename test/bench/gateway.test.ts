import { expect, onTestFinished, test } from "vitest";
import { apiKey, missingForGateway, shareNginx } from "../../src/bench/gateway/nginx.ts";
import type { Bench } from "../../src/bench/types.ts";
import { addQuota, makeWorld } from "../client/world.ts";
import { missing } from "../gateway/nginx.ts";
import { createDatabase, eventually } from "../harness/index.ts";

test.skipIf(process.env.LIMIT_TRAFFIC_PATH !== undefined)(
  "without a checkout of resty.limit.req, or a program, it says what is missing",
  async () => {
    expect(await missingForGateway()).toMatch(/^not installed: |no Lua module|LIMIT_TRAFFIC_PATH/);
  },
);

test.skipIf(missing !== undefined)(
  "both workloads share one nginx, which decides out of leases",
  async () => {
    const database = await createDatabase();
    const world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 1_000_000 }, bytesPerSecond: 1_000_000_000 });
    await database.sql`
    insert into rate_limiter_private.api_keys (key_hash, app_id, prefix)
    values (sha256(convert_to(${apiKey}, 'UTF8')), ${world.appId}, 'qos_kkkkkkkk')
  `;
    const bench = { url: database.urlAs("rate_limiter_app") } as Bench;
    const [one, other] = await Promise.all([shareNginx(bench), shareNginx(bench)]);
    onTestFinished(() => other.stop());
    expect(one.url("lease")).toBe(other.url("lease"));
    await one.stop();

    const headers = { "X-API-Key": apiKey };
    for (let i = 0; i < 20; i += 1) {
      const response = await fetch(other.url("lease"), { headers });
      expect(response.status).toBe(200);
      expect(response.headers.get("RateLimit")).not.toBeNull();
    }
    await eventually(async () => {
      const leases = await database.sql`
      select from rate_limiter.token_leases where app_id = ${world.appId}
    `;
      expect(leases.length).toBeGreaterThan(0);
      expect(leases.length).toBeLessThan(10);
    });
  },
);
