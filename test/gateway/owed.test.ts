import { setTimeout as sleep } from "node:timers/promises";
import type { TransactionSql as Sql } from "postgres";
import { describe, expect, test } from "vitest";
import { addQuota, type ClientWorld, charged, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { counter, type GatewayWorld, startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("what is owed", async () => {
  const database = await createDatabase();
  const workers = `
    location = /worker {
      content_by_lua_block { ngx.print(ngx.worker.pid()) }
    }
    location = /owe {
      content_by_lua_block {
        require("qos.leases.owed").owe(ngx.var.arg_app, 0, tonumber(ngx.var.arg_bytes))
      }
    }
    location = /evict {
      content_by_lua_block { ngx.shared.qos_leases:flush_all() ngx.shared.qos_state:flush_all() }
    }
  `;
  const edit = (text: string) => text.replace("location = /healthz {", `${workers} $&`);
  // A database that is slow for want of a processor does not count as an outage here.
  const environment = { QOS_PACE_DOWNLOADS: "off", QOS_DATABASE_TIMEOUT_MS: "30000" };
  const start = (count: number) =>
    missing === undefined
      ? startGateway(database, environment, { edit, workers: count })
      : (undefined as never);
  const [first, second] = [await start(1), await start(1)];

  async function indebted(bytes: number, bytesPerSecond = 1_000_000) {
    const world = await makeWorld(database);
    await addQuota(database, world, { bytesPerSecond });
    const response = await get(first, world.apiKey, `/bytes/${bytes}`);
    expect(response.status).toBe(200);
    return world;
  }

  async function get({ nginx }: GatewayWorld, apiKey: string, path: string) {
    const response = await fetch(nginx.url + path, { headers: { "X-API-Key": apiKey } });
    await response.arrayBuffer();
    return response;
  }

  test("is in the database before anything else is admitted, and every gateway sees it", async () => {
    const world = await indebted(20_000_000);
    expect((await get(first, world.apiKey, "/bytes/10")).status).toBe(429);
    expect((await get(second, world.apiKey, "/bytes/10")).status).toBe(429);
    expect(Number((await charged(database, world)).bytes)).toBeGreaterThanOrEqual(20_000_000);
  });

  test("survives what shared memory forgets, and the death of a worker", async () => {
    const world = await indebted(20_000_000);
    const owed = () =>
      eventually(async () => {
        const { bytes } = await charged(database, world);
        expect(Number(bytes)).toBeGreaterThanOrEqual(20_000_000);
      });
    await owed();
    await fetch(`${first.nginx.adminUrl}/evict`);
    const pid = Number(await (await fetch(`${first.nginx.adminUrl}/worker`)).text());
    process.kill(pid, "SIGKILL");
    await owed();
    await eventually(async () =>
      expect((await get(first, world.apiKey, "/bytes/10")).status).toBe(429),
    );
  });

  const owe = ({ nginx }: GatewayWorld, appId: string) =>
    fetch(`${nginx.adminUrl}/owe?app=${appId}&bytes=20000000`);

  const isCharged = (world: ClientWorld) =>
    eventually(async () => expect(Number((await charged(database, world)).bytes)).toBe(20_000_000));

  async function debtor() {
    const world = await makeWorld(database);
    await addQuota(database, world, { bytesPerSecond: 1_000_000 });
    return world;
  }

  test("survives the death of a worker over a charge that waits for its buckets", async () => {
    const world = await debtor();
    const waiting = () => database.sql<{ pid: number }[]>`
      select pid from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'
        and query like '%charge_owed_many%' and pid <> pg_backend_pid()
    `;
    await database.sql.begin(async (sql) => {
      await sql`select from rate_limiter.token_buckets where owner_id = ${world.appId} for update`;
      await owe(first, world.appId);
      await eventually(async () => expect(await waiting()).toHaveLength(1));
      const pid = Number(await (await fetch(`${first.nginx.adminUrl}/worker`)).text());
      process.kill(pid, "SIGKILL");
      // What it asked for is not done either, unless its successor asks again.
      await database.sql`
        select pg_terminate_backend(pid) from unnest(${(await waiting()).map((row) => row.pid)}::int[]) as pid
      `;
    });
    await isCharged(world);
  });

  test("survives the death of a worker that is about to charge it", async () => {
    // Dies, once, when it has taken two of three charges off the list.
    const dies = `init_worker_by_lua_block {
      local methods, taken = getmetatable(ngx.shared.qos_owed).__index, 0
      local lpop = methods.lpop
      methods.lpop = function(dict, key)
        taken = taken + (key == "charges" and 1 or 0)
        if taken == 3 and ngx.shared.qos_state:add("has died", true) then
          require("ffi").C.kill(ngx.worker.pid(), 9)
        end
        return lpop(dict, key)
      end
    `;
    const charges = `
      location = /charges {
        content_by_lua_block {
          for _, key in ipairs({ "first", "second", "third" }) do
            require("qos.leases.owed").set_charge(ngx.var.arg_app, key, 0, 1000000)
          end
        }
      }
    `;
    const { nginx } = await startGateway(database, environment, {
      workers: 1,
      edit: (text) =>
        text
          .replace("location = /healthz {", `${charges} $&`)
          .replace("init_worker_by_lua_block {", dies),
    });
    const world = await debtor();
    await fetch(`${nginx.adminUrl}/charges?app=${world.appId}`);
    await eventually(async () =>
      expect(Number((await charged(database, world)).bytes)).toBe(3_000_000),
    );
    expect(nginx.log()).toContain("exited on signal 9");
  });

  test("survives an error that passes", async () => {
    const world = await debtor();
    const calls = () =>
      counter(first.nginx, /^qos_database_calls_total\{call="charge_owed_many"\}/);
    const before = await calls();
    // Triggers refuse it otherwise.
    const asReplica = (change: (sql: Sql) => Promise<unknown>) =>
      database.sql.begin(async (sql) => {
        await sql`set local session_replication_role = replica`;
        await change(sql);
      });
    await database.sql`
      create table kept as select * from rate_limiter.token_buckets where owner_id = ${world.appId}
    `;
    await asReplica(
      (sql) => sql`
      delete from rate_limiter.token_buckets where owner_id = ${world.appId}
    `,
    );
    await owe(first, world.appId);
    await eventually(async () => expect(await calls()).toBeGreaterThan(before));
    await asReplica((sql) => sql`insert into rate_limiter.token_buckets select * from kept`);
    await isCharged(world);
  });

  /** What the database would decide so many seconds after a moment. */
  async function isAllowed(appId: string, moment: string, seconds: number): Promise<boolean> {
    const [row] = await database.sql<[{ allowed: boolean }]>`
      select (rate_limiter_internal.check_limit_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${moment}::timestamptz + ${seconds} * interval '1 second',
        ${appId}, 'read_small', 10
      )).allowed
    `;
    return row.allowed;
  }

  async function databaseNow(): Promise<string> {
    const [row] = await database.sql<[{ now: string }]>`select clock_timestamp()::text as now`;
    return row.now;
  }

  test.each([100_000, 400_000])(
    "is paid when Retry-After says so, and no second sooner: at %i bytes a second",
    async (bytesPerSecond) => {
      const world = await indebted(20_000_000, bytesPerSecond);
      const before = await databaseNow();
      const denied = await get(first, world.apiKey, "/bytes/10");
      const after = await databaseNow();
      expect(denied.status).toBe(429);
      const seconds = Number(denied.headers.get("Retry-After"));
      expect(await isAllowed(world.appId, after, seconds)).toBe(true);
      // It says whole seconds, and may say one more than it takes.
      expect(await isAllowed(world.appId, before, seconds - 2)).toBe(false);
    },
  );

  test("lets its application on once it is paid", async () => {
    const world = await indebted(20_000_000);
    expect((await get(first, world.apiKey, "/bytes/10")).status).toBe(429);
    await database.sql`
      update rate_limiter.token_buckets
      set last_refill_at = last_refill_at - interval '1 hour'
      where owner_id = ${world.appId}
    `;
    await eventually(async () =>
      expect((await get(first, world.apiKey, "/bytes/10")).status).toBe(200),
    );
  });

  test("is charged by few calls, whatever load", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 100_000 }, bytesPerSecond: 500_000_000 });
    const calls = () =>
      counter(first.nginx, /^qos_database_calls_total\{call="(exchange|charge_owed_many)"\}/);
    const [before, since] = [await calls(), performance.now()];
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(
        Array.from({ length: 20 }, () => get(first, world.apiKey, "/bytes/400000")),
      );
    }
    // Workers tell their counts once a second.
    await sleep(1_100);
    const made = (await calls()) - before;
    expect(made).toBeGreaterThan(0);
    expect(made).toBeLessThanOrEqual(((performance.now() - since) / 1_000 + 1) * 12);
  });
});
