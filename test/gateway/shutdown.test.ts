import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { addQuota, charged, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { startGateway } from "./gateway-world.ts";
import { missing, type Nginx } from "./nginx.ts";

function workersOf({ pid }: Nginx): string[] {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
  return pids.filter((worker) => worker !== "");
}

/** Workers that serve no new connection any more, as nginx calls its processes. */
function endingWorkersOf(nginx: Nginx): string[] {
  return workersOf(nginx).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("shutting down");
    } catch {
      return false;
    }
  });
}

describe.skipIf(missing !== undefined)("a gateway that is asked to end", async () => {
  const database = await createDatabase();
  // A busy machine is not an outage.
  const patient = { QOS_DATABASE_TIMEOUT_MS: "30000", QOS_DATABASE_STATEMENT_TIMEOUT_MS: "30000" };
  const { nginx } =
    missing === undefined ? await startGateway(database, patient) : (undefined as never);

  const { version } = JSON.parse(readFileSync(projectPath("package.json"), "utf8"));

  /** As they report themselves. */
  const gateways = () => database.sql`
    select version, database_calls > 0 as has_calls, application_count > 0 as has_applications
    from rate_limiter.processes where kind = 'gateway' and seen_at > started_at
  `;

  /** While a download is under way, the worker that serves it stays. */
  const untilWorkerEnds = () =>
    vi.waitFor(() => expect(endingWorkersOf(nginx)).not.toEqual([]), {
      timeout: 60_000,
      interval: 20,
    });

  /** Of 20 megabytes, which come when it is resumed. */
  async function beginDownload(apiKey: string) {
    const download = connect(nginx.port, "127.0.0.1");
    await once(download, "connect");
    download.write(
      `GET /bytes/20000000 HTTP/1.1\r\nHost: h\r\nX-API-Key: ${apiKey}\r\nConnection: close\r\n\r\n`,
    );
    await once(download, "readable");
    return download;
  }

  test("settles what is under way while it is reloaded", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, { bytesPerSecond: 1_000_000_000 });
    const download = await beginDownload(world.apiKey);
    nginx.reload();
    await untilWorkerEnds();
    download.resume();
    await once(download, "close");
    await eventually(async () => {
      expect(Number((await charged(database, world)).bytes)).toBeGreaterThanOrEqual(20_000_000);
    });
  });

  test("gives back what it has leased and not spent, and settles what it knows and what comes yet", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, {
      iops: { limit: 1, method: "fixed_window", seconds: 3_600 },
      bytesPerSecond: 100_000_000,
    });
    const headers = { "X-API-Key": world.apiKey };
    for (let i = 0; i < 3; i += 1) {
      await (await fetch(`${nginx.url}/bytes/1000`, { headers })).arrayBuffer();
    }
    const other = await makeWorld(database);
    await addQuota(database, other, { bytesPerSecond: 1_000_000_000 });
    const otherHeaders = { "X-API-Key": other.apiKey };
    const download = await beginDownload(other.apiKey);
    // It tells of itself some seconds after its start and twice a minute: an application that asks all the
    // while is one that has leases then.
    await expect
      .poll(
        async () => {
          await (await fetch(`${nginx.url}/bytes/1000`, { headers: otherHeaders })).arrayBuffer();
          return await gateways();
        },
        { timeout: 90_000, interval: 250 },
      )
      .toContainEqual({ version, has_calls: true, has_applications: true });
    const stopped = nginx.stop();
    await untilWorkerEnds();
    download.resume();
    await stopped;
    expect(await gateways()).toEqual([]);
    expect(Number((await charged(database, other)).bytes)).toBeGreaterThanOrEqual(20_000_000);
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
  }, 180_000);
});

describe.skipIf(missing !== undefined)(
  "a gateway that ends while its database is away",
  async () => {
    const database = await createDatabase();
    const owe = `
    location = /owe {
      content_by_lua_block {
        require("qos.leases.owed").owe(ngx.var.arg_app, 1500000, tonumber(ngx.var.arg_bytes))
      }
    }
  `;

    /** A gateway that knows of the outage and tries for so many seconds at its end, and its debtor. */
    async function startIndebted(seconds: number) {
      const ends = `init_worker_by_lua_block {
      local exchange = require("qos.leases.exchange")
      local finish = exchange.finish
      exchange.finish = function() return finish(${seconds}) end
    `;
      const gateway = await startGateway(
        database,
        {},
        {
          edit: (conf) =>
            conf
              .replace("location = /healthz {", `${owe} $&`)
              .replace("init_worker_by_lua_block {", ends),
        },
      );
      const world = await makeWorld(database);
      await addQuota(database, world, { iops: { limit: 1_000 }, bytesPerSecond: 1_000_000 });
      gateway.link.cut();
      const { adminUrl } = gateway.nginx;
      const { status } = await fetch(`${adminUrl}/owe?app=${world.appId}&bytes=20000000`);
      expect(status).toBe(200);
      await eventually(async () =>
        expect(await (await fetch(`${adminUrl}/healthz`)).json()).toMatchObject({
          database: "down",
        }),
      );
      return { ...gateway, world };
    }

    test("charges what is owed as soon as it is back", async () => {
      const { nginx, link, world } = await startIndebted(60);
      const stopped = nginx.stop();
      await vi.waitFor(() => expect(endingWorkersOf(nginx)).not.toEqual([]), {
        timeout: 60_000,
        interval: 5,
      });
      link.mend();
      await stopped;
      expect(Number((await charged(database, world)).bytes)).toBe(20_000_000);
      expect(nginx.log()).not.toContain("not charged");
    }, 120_000);

    test("leaves what is owed to the workers that follow it after a reload", async () => {
      const { nginx, link, world } = await startIndebted(60);
      const before = workersOf(nginx);
      nginx.reload();
      await vi.waitFor(
        () => expect(workersOf(nginx).filter((pid) => before.includes(pid))).toEqual([]),
        { timeout: 50_000 },
      );
      link.mend();
      await eventually(async () =>
        expect(Number((await charged(database, world)).bytes)).toBe(20_000_000),
      );
    }, 120_000);

    /** What an operator does, as the runbook says. */
    function chargeFromLog(log: string): string {
      const guide = readFileSync(projectPath("docs/integrate.md"), "utf8");
      const section = guide.split("#### StorageQosGatewayDebt\n")[1]?.split("\n#### ")[0] ?? "";
      const commands = [...section.matchAll(/^ {4}(.*)$/gm)]
        .map(([, line]) => `${line}\n`)
        .join("");
      const folder = mkdtempSync(join(tmpdir(), "qos-owed-"));
      writeFileSync(join(folder, "error.log"), log);
      const { status, stdout, stderr } = spawnSync("bash", ["-e", "-c", commands], {
        cwd: folder,
        env: { ...process.env, DATABASE_URL: database.url },
        encoding: "utf8",
      });
      rmSync(folder, { recursive: true });
      expect([status, stderr]).toEqual([0, ""]);
      return stdout;
    }

    test("logs what it could not charge, for an operator to charge it once", async () => {
      const { nginx, world } = await startIndebted(0.5);
      await nginx.stop();
      expect(Number((await charged(database, world)).bytes)).toBe(0);
      const lines = nginx.log().match(/ \[error\] .*owed and not charged.*/g) ?? [];
      expect(lines).toHaveLength(1);
      // A line of a request that looks like one is none.
      const forged = `a "GET /qos: owed and not charged: {}" b\n`;
      expect(chargeFromLog(forged + nginx.log())).toContain("{t}");
      expect(Number((await charged(database, world)).bytes)).toBe(20_000_000);
      expect(chargeFromLog(nginx.log())).toContain("{f}");
      expect(Number((await charged(database, world)).bytes)).toBe(20_000_000);
    }, 120_000);
  },
);

const iops = JSON.stringify({
  ...{ iops_limit: 1_000, iops_burst: 1_000, burst_duration_seconds: 1, refill_rate: 1_000 },
  ...{ calculation_method: "token_bucket", min_reserve: 0 },
});

describe.skipIf(missing !== undefined)("a gateway of a thousand applications", async () => {
  const applications = 1_000;
  const database = await createDatabase();
  const keyOf = (number: number) => `qos_${`crowd-${number}`.padStart(43, "k")}`;

  async function makeCrowd(): Promise<void> {
    const world = await makeWorld(database);
    await database.sql`
      with made as (
        insert into rate_limiter.applications (tenant_id, cluster_id, name)
        select ${world.tenantId}, ${world.clusterId}, 'crowd ' || n
        from generate_series(1, ${applications}) as n
        returning app_id, name
      ),
      keyed as (
        insert into rate_limiter_private.api_keys (key_hash, app_id, prefix)
        select
          sha256(convert_to('qos_' || lpad(replace(m.name, ' ', '-'), 43, 'k'), 'UTF8')),
          m.app_id, 'qos_kkkkkkkk'
        from made as m
      )
      select from made
    `;
    await database.sql`
      select rate_limiter_internal.add_quota(
        a.app_id, null, 'enforce'::rate_limiter.quota_mode, clock_timestamp(), null, ${iops},
        null, 'test'
      )
      from rate_limiter.applications as a
      where a.name like 'crowd %'
    `;
  }

  /** Leases, those of them that are open, and calls that have settled some: one moment each. */
  async function leases() {
    const [row] = await database.sql<[{ all: number; open: number; calls: number }]>`
      select
        count(distinct app_id)::int as all,
        count(*) filter (where settled_at is null)::int as open,
        count(distinct settled_at)::int as calls
      from rate_limiter.token_leases
    `;
    return row;
  }

  async function askForAll(url: string): Promise<void> {
    let next = 0;
    async function ask(number: number) {
      const headers = { "X-API-Key": keyOf(number) };
      for (let status = 0; status !== 200; ) {
        const answer = await fetch(`${url}/bytes/10`, { headers });
        await answer.arrayBuffer();
        status = answer.status;
        // A busy machine reads keys late.
        if (status !== 503) expect(status).toBe(200);
      }
    }
    async function askOneByOne() {
      while (next < applications) {
        next += 1;
        await ask(next);
      }
    }
    await Promise.all(Array.from({ length: 32 }, askOneByOne));
  }

  test("gives all leases back at its end, in a few calls", async () => {
    await makeCrowd();
    const stopsUpkeep = (conf: string) =>
      // Leases of idle applications stay until the end.
      conf.replace(
        "init_worker_by_lua_block {",
        "init_worker_by_lua_block { require('qos.leases.upkeep').run = function() end",
      );
    const { nginx } = await startGateway(
      database,
      {
        ...{ QOS_DATABASE_TIMEOUT_MS: "60000", QOS_DATABASE_STATEMENT_TIMEOUT_MS: "60000" },
        ...{ QOS_LEASE_MS: "600000" },
      },
      { edit: stopsUpkeep },
    );
    await askForAll(nginx.url);
    const before = await leases();
    expect(before.all).toBe(applications);
    // A request that came late for its lease may have asked the database, and given it back.
    expect(before.open).toBeGreaterThan(0.9 * applications);
    await nginx.stop();
    const after = await leases();
    expect(after.open).toBe(0);
    // 334 leases go into a call, and what was known before may come first, of each worker; then what was
    // asked of 250 applications.
    expect(after.calls - before.calls).toBeLessThanOrEqual(6 + 4);
  }, 300_000);
});
