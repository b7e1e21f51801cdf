import { describe, expect, test } from "vitest";
import { addQuota, makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("a gateway that is asked to end", async () => {
  const database = await createDatabase();
  const { nginx } = missing === undefined ? await startGateway(database) : (undefined as never);

  test("gives back what it has leased and not spent, and settles what it knows", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, {
      iops: { limit: 1, method: "fixed_window", seconds: 3_600 },
      bytesPerSecond: 100_000_000,
    });
    const headers = { "X-API-Key": world.apiKey };
    for (let i = 0; i < 3; i += 1) {
      await (await fetch(`${nginx.url}/bytes/1000`, { headers })).arrayBuffer();
    }
    await nginx.stop();
    const [row] = await database.sql`
      select
        count(*) filter (where settled_at is null)::int as open,
        sum(spent_tokens)::float8 as tokens,
        sum(spent_bytes)::float8 as bytes
      from rate_limiter.token_leases where app_id = ${world.appId}
    `;
    expect(row?.open).toBe(0);
    expect(row?.bytes).toBeGreaterThanOrEqual(3_000);
    expect(row?.bytes).toBeLessThan(3 * 65_536);
    expect(row?.tokens).toBeLessThan(10);
  });
});
