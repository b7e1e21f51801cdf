import { once } from "node:events";
import { Agent, request } from "node:http";
import { describe, expect, test } from "vitest";
import { addQuota, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("a gateway", async () => {
  const database = await createDatabase();
  const tell = `
    location = /hold {
      content_by_lua_block {
        local lock = require("qos.workers.lock")
        for _, key in ipairs({
          "exchange", "renewal " .. ngx.var.arg_app, "direct " .. ngx.var.arg_app, "some work",
        }) do
          lock.try(key, 0)
        end
        ngx.print(ngx.worker.pid())
      }
    }
    location = /try {
      content_by_lua_block {
        ngx.print(require("qos.workers.lock").try("some work", 0) and "taken" or "held")
      }
    }
  `;
  const edit = (text: string) => text.replace("location = /healthz {", `${tell} $&`);
  const { nginx } =
    missing === undefined ? await startGateway(database, {}, { edit }) : (undefined as never);

  const get = async (url: string, apiKey = "") => {
    const asking = request(url, { agent: false, headers: { "X-API-Key": apiKey } });
    asking.end();
    const [response] = await once(asking, "response");
    const text = (await response.toArray()).join("");
    return { status: response.statusCode, text };
  };

  test("takes over the locks of a worker that died", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 1_000 } });
    const { text } = await get(`${nginx.adminUrl}/hold?app=${world.appId}`);
    process.kill(Number(text), "SIGKILL");
    await eventually(async () => expect(() => process.kill(Number(text), 0)).toThrow());
    // These locks have no end: the first that asks takes over what a worker held that died.
    expect((await get(`${nginx.adminUrl}/try`)).text).toBe("taken");
    expect((await get(`${nginx.adminUrl}/try`)).text).toBe("held");
    expect((await get(`${nginx.url}/b/o`, world.apiKey)).status).toBe(200);
  });

  test("waits with no application for the buckets of another", async () => {
    const [stuck, other] = [await makeWorld(database), await makeWorld(database)];
    for (const world of [stuck, other]) {
      await addQuota(database, world, { iops: { limit: 1_000 } });
    }
    await database.sql.begin(async (sql) => {
      await sql`
        select from rate_limiter.token_buckets where owner_id = ${stuck.appId} for update
      `;
      const agent = new Agent();
      const waiting = request(`${nginx.url}/b/o`, {
        agent,
        headers: { "X-API-Key": stuck.apiKey },
      });
      waiting.on("error", () => {});
      waiting.end();
      const statuses = [];
      for (let i = 0; i < 20; i += 1) {
        statuses.push((await get(`${nginx.url}/b/o`, other.apiKey)).status);
      }
      expect(new Set(statuses)).toEqual(new Set([200]));
      waiting.destroy();
    });
    const { text } = await get(`${nginx.adminUrl}/metrics`);
    expect(text).not.toMatch(/qos_outages_total [1-9]/);
  });

  /** Each with a quota; answers their keys. */
  async function addApplications(tenantId: string, count: number): Promise<string[]> {
    const quota = { iops_limit: 1, iops_burst: 1_000, burst_duration_seconds: 1, refill_rate: 1 };
    const iops = { ...quota, calculation_method: "token_bucket", min_reserve: 0 };
    const rows = await database.sql<{ key: string }[]>`
      with added as (
        insert into rate_limiter.applications (tenant_id, name)
        select ${tenantId}, 'one of many ' || i from generate_series(1, ${count}::int) as i
        returning app_id
      )
      select (rate_limiter_private.issue_api_key(a.app_id)).api_key as key from added as a
    `;
    await database.sql`
      select rate_limiter_internal.add_quota(
        a.app_id, null, 'enforce', clock_timestamp(), null, ${JSON.stringify(iops)}::text::jsonb,
        null, 'test'
      ) from rate_limiter.applications as a
      where a.tenant_id = ${tenantId} and a.name like 'one of many %'
    `;
    return rows.map(({ key }) => key);
  }

  async function openLeases(tenantId: string): Promise<number> {
    const leases = await database.sql`
      select from rate_limiter.token_leases as l
      join rate_limiter.applications as a on a.app_id = l.app_id
      where a.tenant_id = ${tenantId} and l.settled_at is null
    `;
    return leases.count;
  }

  async function exchanges(): Promise<number> {
    const [row] = await database.sql`
      select coalesce(sum(s.calls), 0)::int as calls from pg_stat_statements as s
      join pg_database as d on d.oid = s.dbid and d.datname = current_database()
      where s.query like '%select rate_limiter.exchange_leases(%'
    `;
    return row?.calls;
  }

  test("gives back the leases of many applications in few calls when it ends", async () => {
    const { nginx } = await startGateway(database, {
      QOS_LEASE_MS: "600000",
      QOS_DATABASE_TIMEOUT_MS: "20000",
    });
    const { tenantId } = await makeWorld(database);
    const keys = await addApplications(tenantId, 60);
    // Those that idle go back before: all are asked again until they are leased together.
    await eventually(async () => {
      for (let place = 0; place < keys.length; place += 20) {
        const batch = keys.slice(place, place + 20);
        await Promise.all(batch.map((key) => get(`${nginx.url}/b/o`, key)));
      }
      expect(await openLeases(tenantId)).toBeGreaterThanOrEqual(keys.length);
    });
    const before = await exchanges();
    await nginx.stop();
    expect(await openLeases(tenantId)).toBe(0);
    // One takes all of them; what idled, or another worker, may have begun with some.
    expect((await exchanges()) - before).toBeLessThanOrEqual(4);
  });
});
