import { spawn } from "node:child_process";
import { once } from "node:events";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { adopt } from "../../src/timescale/adopt.ts";
import { leave } from "../../src/timescale/leave.ts";
import { type SeriesTable, seriesTables } from "../../src/timescale/series.ts";
import { seriesStatus } from "../../src/timescale/status.ts";
import { expectSqlState } from "../harness/index.ts";
import { createSeriesDatabase, type SeriesDatabase, timescaleUrl } from "./database.ts";

const days = 5;
const app = "a0000000-0000-4000-8000-000000000001";
const silent = () => {};

describe.skipIf(timescaleUrl === undefined)("timescale", () => {
  let database: SeriesDatabase;
  beforeAll(async () => {
    database = await createSeriesDatabase();
  });

  /** Rows of several days in each table, one before the first partition, a known number of them. */
  beforeEach(async () => {
    const { sql, owner } = database;
    await leave(owner, silent);
    await sql`truncate rate_limiter.metrics, rate_limiter.iops_metrics, rate_limiter.bandwidth_metrics`;
    await sql`
      insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_id, metric_name, value, tags)
      select 1, ${app}, date_trunc('day', now()) - n * interval '1 hour', md5(n::text)::uuid,
        'depth', n * 0.1, jsonb_build_object('n', n)
      from generate_series(1, ${days * 24}) as n
    `;
    await sql`
      insert into rate_limiter.iops_metrics (shard_key, app_id, timestamp, metric_id, read_ops, avg_latency_ms)
      select 1, ${app}, date_trunc('day', now()) - n * interval '1 hour', md5(n::text)::uuid, n, n / 3.0
      from generate_series(1, ${days * 24}) as n
    `;
    await sql`
      insert into rate_limiter.bandwidth_metrics (shard_key, app_id, timestamp, metric_id, bytes_read)
      select 1, ${app}, date_trunc('day', now()) - n * interval '1 hour', md5(n::text)::uuid, n * 4096
      from generate_series(1, ${days * 24}) as n
    `;
  });

  /** Every row of every table, by value. */
  async function contents(): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const table of seriesTables) {
      const [row] = await database.sql`
        select count(*) || ' ' || sum(hashtextextended(m::text, 0)::numeric) as rows
        from ${database.sql(`rate_limiter.${table}`)} as m
      `;
      found[table] = row?.rows;
    }
    return found;
  }

  const states = async () =>
    Object.fromEntries(
      (await seriesStatus(database.owner)).map((row) => [row.table_name, row.state]),
    );
  const all = (state: string) => Object.fromEntries(seriesTables.map((table) => [table, state]));

  test("adopt moves every row, compresses what is old, and leave brings all of it back", async () => {
    const before = await contents();
    await adopt(database.owner, silent);
    expect(await states()).toEqual(all("adopted"));
    expect(await contents()).toEqual(before);
    const compressed = await database.sql`select * from rate_limiter_internal.chunks('metrics')`;
    expect(compressed.filter((chunk) => chunk.is_compressed).length).toBeGreaterThan(days - 3);
    await adopt(database.owner, silent);
    expect(await contents()).toEqual(before);
    await leave(database.owner, silent);
    expect(await states()).toEqual(all("native"));
    expect(await contents()).toEqual(before);
  });

  test("leave brings the native tables back as the migrations made them", async () => {
    const shape = () => database.sql`
      select c.oid::regclass::text as name, c.relkind, c.relrowsecurity, c.relacl::text as acl,
        obj_description(c.oid) as comment, pg_get_viewdef(c.oid) as definition,
        array(select i.indexrelid::regclass::text || pg_get_indexdef(i.indexrelid)
          from pg_index as i where i.indrelid = c.oid order by 1) as indexes,
        array(select p.polname::text || pg_get_expr(p.polqual, p.polrelid)
          from pg_policy as p where p.polrelid = c.oid order by 1) as policies
      from pg_class as c
      where c.relnamespace in ('rate_limiter'::regnamespace, 'rate_limiter_internal'::regnamespace)
        and c.relkind in ('r', 'p', 'v')
      order by 1
    `;
    const before = [...(await shape())];
    await adopt(database.owner, silent);
    await leave(database.owner, silent);
    expect([...(await shape())]).toEqual(before);
  });

  /** What stops before its nth report: between two of its transactions. */
  const stopsAt = (n: number) => {
    let reports = 0;
    return () => {
      if (++reports === n) throw new Error("stopped");
    };
  };

  test.each([
    ["adopt", adopt, "adopted"],
    ["leave", leave, "native"],
  ] as const)("%s that is stopped between any two transactions goes on", async (_, move, end) => {
    if (move === leave) await adopt(database.owner, silent);
    const before = await contents();
    let stops = 0;
    for (;;) {
      const stopped = await move(database.owner, stopsAt(2)).then(
        () => false,
        (error: Error) => error.message === "stopped",
      );
      expect(await contents()).toEqual(before);
      if (!stopped || ++stops > 60) break;
      if ((await states())[seriesTables[2]] === end) break;
    }
    expect(stops).toBeGreaterThan(days);
    await move(database.owner, silent);
    expect(await states()).toEqual(all(end));
    expect(await contents()).toEqual(before);
  });

  test("a process that is killed while it adopts loses and doubles nothing", async () => {
    const before = await contents();
    for (const line of ["metrics_y", "iops_metrics: new", "bandwidth_metrics_y"]) {
      const child = spawn(
        process.execPath,
        [projectPath("src/cli/main.ts"), "timescale", "adopt"],
        {
          env: { ...process.env, DATABASE_URL: database.url },
          stdio: ["ignore", "pipe", "ignore"],
        },
      );
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        if (text.includes(line)) child.kill("SIGKILL");
      });
      await once(child, "close");
      expect(child.signalCode).toBe("SIGKILL");
      expect(await contents()).toEqual(before);
    }
    await adopt(database.owner, silent);
    expect(await states()).toEqual(all("adopted"));
    expect(await contents()).toEqual(before);
  });

  test("samples that come meanwhile are kept once, wherever the others are", async () => {
    const { sql } = database;
    /** A new sample of today and of each day before, each twice, and an old one of each day again. */
    const ingest = async (n: number) => {
      for (let again = 0; again < 2; again++) {
        await sql`
          insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_id, metric_name, value)
          select 1, ${app}, date_trunc('day', now()) - day * interval '1 day',
            md5(${`new ${n}`})::uuid, 'depth', ${n}
          from generate_series(0, ${days - 1}) as day
          on conflict do nothing
        `;
        await sql`
          insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_id, metric_name, value)
          select 1, ${app}, date_trunc('day', now()) - n * interval '1 hour', md5(n::text)::uuid, 'depth', -1
          from generate_series(1, ${days * 24}, 24) as n
          on conflict do nothing
        `;
      }
    };
    const expected = days * 24;
    let reports = 0;
    for (const move of [adopt, leave]) {
      const working: Promise<void>[] = [];
      await move(database.owner, (line) => {
        if (line.startsWith("metrics")) working.push(ingest(++reports));
      });
      await Promise.all(working);
      const [row] = await sql`
        select count(*)::integer as rows, count(*) filter (where value = -1)::integer as overwritten
        from rate_limiter.metrics
      `;
      expect(row).toEqual({ rows: expected + reports * days, overwritten: 0 });
    }
    expect(reports).toBeGreaterThan(2 * days);
  }, 180_000);

  test("what moves to another shard key meanwhile is changed where it is", async () => {
    const { sql, owner } = database;
    let key = 1;
    await adopt(owner, stopsAt(3)).catch(() => {});
    expect((await states()).metrics).toBe("adopting");
    await sql`select rate_limiter_internal.move_history(${key}, ${++key}, ${app})`;
    await adopt(owner, silent);
    // Compressed chunks too.
    await sql`select rate_limiter_internal.move_history(${key}, ${++key}, ${app})`;
    for (const table of seriesTables) {
      const rows = await sql`
        select shard_key, count(*)::integer from ${sql(`rate_limiter.${table}`)} group by 1
      `;
      expect([...rows]).toEqual([{ shard_key: key, count: days * 24 }]);
    }
  });

  test("nothing but the three tables is moved, and nothing ends before all has moved", async () => {
    const call = (name: string, table: string) =>
      database.owner`select ${database.owner.unsafe(`rate_limiter_private.${name}`)}(${table})`;
    await expectSqlState(call("begin_adopting", "audit_logs"), "QS422");
    await expectSqlState(call("move_next_part", "metrics"), "QS409");
    await call("begin_adopting", "metrics");
    await expectSqlState(call("finish_moving", "metrics" satisfies SeriesTable), "QS409");
  });
});
