import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type PgBouncer,
  pgbouncerProgram,
  sessionParameters,
  startPgBouncer,
} from "../../src/bench/pgbouncer.ts";
import { withParameter } from "../../src/postgres/url.ts";
import { addQuota, charged, makeWorld } from "../client/world.ts";
import { type GatewayWorld, startGateway } from "../gateway/gateway-world.ts";
import { missing, pgmoonPath } from "../gateway/nginx.ts";
import { createDatabase, eventually, unlessRequired } from "../harness/index.ts";

const isMissing =
  unlessRequired(pgbouncerProgram === undefined ? "pgbouncer is not installed" : undefined) !==
    undefined || missing !== undefined;

describe.skipIf(isMissing)("the gateway behind PgBouncer in transaction mode", async () => {
  const database = await createDatabase();
  let pooler: PgBouncer;
  let gateway: GatewayWorld;

  beforeAll(async () => {
    pooler = await startPgBouncer(database.urlAs("rate_limiter_app"), {
      ...{ default_pool_size: 2, reserve_pool_size: 0, server_round_robin: 1 },
      // The double of pgmoon sets more than the gateway does.
      ...(pgmoonPath === undefined ? { ignore_startup_parameters: sessionParameters } : {}),
    });
    const url = withParameter(pooler.url, "pgbouncer", "true");
    gateway = await startGateway(
      { ...database, urlAs: () => url },
      { QOS_DATABASE_TIMEOUT_MS: "20000", QOS_DATABASE_STATEMENT_TIMEOUT_MS: "0" },
      { workers: 2 },
    );
  });
  afterAll(() => pooler?.stop());

  /** More at once than the pooler has sessions. */
  const askTogether = (key: string, count: number) =>
    Promise.all(
      Array.from({ length: count }, async () => {
        const { status } = await fetch(`${gateway.nginx.url}/bucket/key`, {
          method: "HEAD",
          headers: { "X-API-Key": key },
        });
        return status;
      }),
    );

  test("admits what the quota holds, no request more, and what is leased goes back", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, {
      iops: { limit: 1, method: "fixed_window", seconds: 3_600 },
    });
    const [row] = await database.as("rate_limiter_app")`
      select remaining::float8 + cost::float8 as tokens, cost::float8 as cost
      from rate_limiter.check_limit(${world.appId}, 'head')
    `;
    const room = Math.floor(row?.tokens / row?.cost);
    await askTogether(world.apiKey, 40);
    expect(await charged(database, world)).not.toMatchObject({ tokens: "0" });
    const statuses = await askTogether(world.apiKey, 120);
    expect(statuses.filter((status) => status !== 404 && status !== 200)).toEqual([]);
    await gateway.nginx.stop();
    await eventually(async () => {
      const open = await database.sql`
        select from rate_limiter.token_leases where app_id = ${world.appId} and settled_at is null
      `;
      expect(open).toHaveLength(0);
    });
    const { tokens } = await charged(database, world);
    expect(Number(tokens)).toBe(160 * row?.cost);
    expect(room).toBeGreaterThan(160);
  });
});
