import { describe, expect, test } from "vitest";
import type { TransactionSql } from "../../src/postgres/connect.ts";
import { retryLocks } from "../../src/postgres/retry-locks.ts";
import { createDatabase, expectSqlState, type TestDatabase } from "../harness/index.ts";
import { hasHypertables, storeOf } from "../harness/samples.ts";

const database = await createDatabase();
const app = "a0000000-0000-4000-8000-000000000001";

/** A hypertable makes its chunks itself, when there are rows for them, and has no default partition. */
const onNative = test.skipIf(hasHypertables);

/** As the owner, undone at the end: DDL too. */
const undone = <T>(work: (sql: TransactionSql) => Promise<T>) =>
  database.withTransaction("rate_limiter_owner", {}, work);

async function partitionsOf(sql: TransactionSql | TestDatabase["sql"], table: string) {
  const rows = await sql<{ name: string }[]>`
    select p.partition_name as name from rate_limiter_internal.partitions() as p
    where p.table_name = ${table} order by p.is_default, p.starts_at
  `;
  return rows.map((row) => row.name);
}

async function sample(sql: TransactionSql, moment: string, value = 1) {
  await sql`
    insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_name, value)
    values (1, ${app}, ${moment}, 'x', ${value})
  `;
}

async function homes(sql: TransactionSql): Promise<string[]> {
  const rows = await sql<{ home: string }[]>`
    select p.partition_name as home
    from ${sql(storeOf("metrics"))} as m
    join rate_limiter_internal.partitions() as p on p.partition_oid = m.tableoid
    order by m.timestamp
  `;
  return rows.map((row) => row.home);
}

interface DrainStep {
  readonly table_name: string;
  readonly step: string;
  readonly moved_rows: string;
}

/** Every step of draining the default partitions. */
async function drain(sql: TransactionSql): Promise<DrainStep[]> {
  const steps: DrainStep[] = [];
  for (;;) {
    const [step] = await sql<DrainStep[]>`
      select * from rate_limiter_private.drain_default_partitions()
    `;
    if (step === undefined) return steps;
    steps.push(step);
  }
}

async function drained(sql: TransactionSql): Promise<number> {
  const steps = await drain(sql);
  return steps.reduce((total, step) => total + Number(step.moved_rows), 0);
}

describe("make_partitions", () => {
  onNative("was called by the migration: today's and tomorrow's partitions are there", async () => {
    const rows = await database.sql`
      select t.table_name
      from rate_limiter_private.partitioned_tables as t
      cross join generate_series(0, t.premake) as later
      where not exists (
        select from rate_limiter_internal.partitions() as p
        where p.table_name = t.table_name
          and p.starts_at = rate_limiter_internal.period_start(now(), t.period, later)
      )
    `;
    expect([...rows]).toEqual([]);
  });

  onNative("makes days and months around a moment, named as the source design does", async () => {
    await undone(async (sql) => {
      const made = await sql`
        select rate_limiter_private.make_partitions('2024-02-29 23:59:59.999999+00') as name
      `;
      const names = made.map((row) => row.name);
      expect(names).toContain("metrics_y2024m02d28");
      expect(names).toContain("metrics_y2024m02d29");
      expect(names).toContain("metrics_y2024m03d07");
      expect(names).not.toContain("metrics_y2024m03d08");
      expect(names).toContain("audit_logs_y2024m01");
      expect(names).toContain("audit_logs_y2024m05");
    });
  });

  test("finds nothing left to make the second time", async () => {
    await undone(async (sql) => {
      expect(await sql`select rate_limiter_private.make_partitions()`).toHaveLength(0);
    });
  });

  onNative("cuts at midnight UTC wherever the server is", async () => {
    await undone(async (sql) => {
      // The day on which clocks there are put forward.
      await sql`set local timezone = 'America/New_York'`;
      await sql`select rate_limiter_private.make_partitions('2024-03-10 12:00:00+00')`;
      const [row] = await sql`
        select extract(epoch from p.starts_at)::integer as starts,
          extract(epoch from p.ends_at)::integer as ends
        from rate_limiter_internal.partitions() as p
        where p.partition_name = 'metrics_y2024m03d10'
      `;
      const midnight = Date.parse("2024-03-10T00:00:00Z") / 1000;
      expect(row).toEqual({ starts: midnight, ends: midnight + 86_400 });
    });
  });

  onNative(
    "has the ledger's columns analyzed briefly: meanwhile no bucket's dead versions go",
    async () => {
      await undone(async (sql) => {
        await sql`select rate_limiter_private.make_partitions('2024-02-10')`;
        const rows = await sql`
        select distinct a.attrelid::regclass::text as part, a.attstattarget as target
        from pg_attribute as a
        where a.attrelid in (
          'rate_limiter_partitions.token_transactions_y2024m02d10'::regclass,
          'rate_limiter_partitions.metrics_y2024m02d10'::regclass
        ) and a.attnum > 0
      `;
        const targets = Object.fromEntries(rows.map(({ part, target }) => [part, target]));
        expect(targets["rate_limiter_partitions.token_transactions_y2024m02d10"]).toBe(10);
        expect([null, -1]).toContain(targets["rate_limiter_partitions.metrics_y2024m02d10"]);
      });
    },
  );

  onNative(
    "gives partitions the parent's indexes, checks, columns and autovacuum settings",
    async () => {
      await undone(async (sql) => {
        await sql`select rate_limiter_private.make_partitions('2024-02-10')`;
        const [row] = await sql`
        select
          (select count(*) from pg_index where indrelid = parent.oid)
            = (select count(*) from pg_index where indrelid = part.oid) as indexes,
          (select count(*) from pg_constraint where conrelid = parent.oid and contype = 'c')
            = (select count(*) from pg_constraint where conrelid = part.oid and contype = 'c')
            as checks,
          part.reloptions::text as options
        from pg_class as parent, pg_class as part
        where parent.oid = 'rate_limiter.iops_metrics'::regclass
          and part.oid = 'rate_limiter_partitions.iops_metrics_y2024m02d10'::regclass
      `;
        expect(row?.indexes).toBe(true);
        expect(row?.checks).toBe(true);
        expect(row?.options).toContain("autovacuum_analyze_scale_factor=0.05");
        await sql`
        insert into rate_limiter.iops_metrics (shard_key, app_id, timestamp, read_ops, write_ops)
        values (1, ${app}, '2024-02-10 10:00+00', 2147483647, 2147483647)
      `;
        const [total] = await sql`
        select total_ops, tableoid::regclass::text as home from rate_limiter.iops_metrics
      `;
        expect(total).toEqual({
          total_ops: "4294967294",
          home: "rate_limiter_partitions.iops_metrics_y2024m02d10",
        });
      });
    },
  );

  onNative("runs side by side with itself", async () => {
    const fresh = await createDatabase();
    await fresh.sql`update rate_limiter_private.partitioned_tables set premake = 1`;
    const workers = [1, 2, 3].map(async () => {
      const worker = fresh.as("rate_limiter_worker");
      const names: string[] = [];
      for (;;) {
        const [made] = await retryLocks(
          async () => worker<{ name: string }[]>`
            select rate_limiter_private.make_partitions('2023-05-05', 1) as name
          `,
        );
        if (made === undefined) return names;
        names.push(made.name);
      }
    });
    const made = (await Promise.all(workers)).flat();
    expect(new Set(made).size).toBe(made.length);
    expect(await partitionsOf(fresh.sql, "metrics")).toContain("metrics_y2023m05d05");
  });

  test("does not stop writers of the table", async () => {
    const fresh = await createDatabase();
    const writer = await fresh.session("writer");
    await writer.sql`begin`;
    await writer.sql`
      insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_name, value)
      values (1, ${app}, now(), 'x', 1)
    `;
    // Would give up rather than wait for the writer's end, if it locked the parent.
    const made = await fresh.as("rate_limiter_worker")`
      select rate_limiter_private.make_partitions('2023-05-05')
    `;
    expect(made.length).toBeGreaterThan(0);
    await writer.sql`commit`;
  });

  onNative("of the present waits for writers, and refuses none of them", async () => {
    const fresh = await createDatabase();
    const [today] = await fresh.sql`
      select p.partition_name as name
      from rate_limiter_internal.partitions() as p
      where p.table_name = 'metrics' and now() >= p.starts_at and now() < p.ends_at
    `;
    await fresh.sql`drop table rate_limiter_partitions.${fresh.sql(today?.name)}`;
    const maker = await fresh.session("maker", "rate_limiter_owner");
    const writer = await fresh.session("writer");
    await maker.sql`begin`;
    await maker.sql`select rate_limiter_private.make_partitions()`;
    const written = writer.start(
      (sql) => sql`
        insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_name, value)
        values (1, ${app}, now(), 'x', 1)
      `,
    );
    await writer.waitsOnLock();
    await maker.sql`commit`;
    await written;
    const [row] = await fresh.sql`
      select tableoid::regclass::text as home from rate_limiter.metrics
    `;
    expect(row?.home).toBe(`rate_limiter_partitions.${today?.name}`);
  });
});

describe("a row without a partition of its own", () => {
  onNative("is taken by the default partition of every table", async () => {
    const rows = await database.sql`
      select t.table_name from rate_limiter_private.partitioned_tables as t
      where not exists (
        select from rate_limiter_internal.partitions() as p
        where p.table_name = t.table_name and p.is_default
      )
    `;
    expect([...rows]).toEqual([]);
    await undone(async (sql) => {
      await sample(sql, "1999-12-31T23:59:59Z");
      await sample(sql, "2024-02-10T10:00:00Z");
      expect(await homes(sql)).toEqual(["metrics_default", "metrics_default"]);
    });
  });

  onNative("is moved to one by drain_default_partitions, unchanged", async () => {
    await undone(async (sql) => {
      await sample(sql, "2024-02-10T10:00:00.123456Z", 7);
      await sample(sql, "2024-02-11T00:00:00Z", 8);
      const before = await sql`select * from rate_limiter.metrics order by timestamp`;
      const table_name = "rate_limiter.metrics";
      expect(await drain(sql)).toEqual([
        { table_name, step: "begin", moved_rows: "0" },
        { table_name, step: "copy", moved_rows: "2" },
        { table_name, step: "finish", moved_rows: "0" },
      ]);
      expect(await homes(sql)).toEqual(["metrics_y2024m02d10", "metrics_y2024m02d11"]);
      expect(await sql`select * from rate_limiter.metrics order by timestamp`).toEqual(before);
      expect(await drain(sql)).toEqual([]);
    });
  });

  onNative("stays where it is when no partition is worth making for it", async () => {
    await undone(async (sql) => {
      await sample(sql, "1970-01-01T00:00:00Z");
      await sample(sql, "9999-12-31T00:00:00Z");
      expect(await drain(sql)).toEqual([]);
      await sample(sql, "2024-02-11T00:00:00Z");
      expect(await drained(sql)).toBe(1);
      expect(await homes(sql)).toEqual([
        "metrics_default",
        "metrics_y2024m02d11",
        "metrics_default",
      ]);
    });
  });

  test("of the audit moves too, though audit rows are never deleted", async () => {
    await undone(async (sql) => {
      await sql`
        insert into rate_limiter_audit.audit_logs (action, entity_type, created_at)
        values ('x', 'x', '2024-02-10')
      `;
      await drain(sql);
      const [row] = await sql`
        select tableoid::regclass::text as home from rate_limiter_audit.audit_logs
        where created_at < '2025-01-01'
      `;
      expect(row?.home).toBe("rate_limiter_partitions.audit_logs_y2024m02");
      await expectSqlState(sql`delete from rate_limiter_audit.audit_logs`, "QS403");
    });
  });

  onNative("does not keep make_partitions from making the others", async () => {
    await undone(async (sql) => {
      await sample(sql, "2024-02-10T10:00:00Z");
      const made = await sql`select rate_limiter_private.make_partitions('2024-02-10') as name`;
      const names = made.map((row) => row.name);
      expect(names).toContain("metrics_y2024m02d11");
      expect(names).not.toContain("metrics_y2024m02d10");
      await drain(sql);
      expect(await homes(sql)).toEqual(["metrics_y2024m02d10"]);
    });
  });
});

describe("drop_partition", () => {
  const prepare = async (sql: TransactionSql) => {
    await sql`select rate_limiter_private.make_partitions('2024-02-10')`;
    if (!hasHypertables) return;
    for (const table of ["metrics", "iops_metrics", "bandwidth_metrics"]) {
      await sql`
        insert into ${sql(`rate_limiter.${table}`)} ${sql.unsafe(`
          (shard_key, app_id, timestamp${table === "metrics" ? ", metric_name, value" : ""})`)}
        select 1, ${app}, day ${sql.unsafe(table === "metrics" ? ", 'x', 1" : "")}
        from generate_series(timestamptz '2024-02-09', '2024-02-17', interval '1 day') as day
      `;
    }
    await sql`delete from rate_limiter.metrics where app_id = ${app}`;
  };
  const expired = async (sql: TransactionSql, at: string, table = "metrics") => {
    const rows = await sql<{ name: string }[]>`
      select e.partition_name as name from rate_limiter_private.expired_partitions(${at}) as e
      where e.table_name = ${table}
    `;
    return rows.map((row) => row.name);
  };

  test("finds a partition expired when its youngest row must be, not a moment before", async () => {
    await undone(async (sql) => {
      await prepare(sql);
      expect(await expired(sql, "2024-05-09T23:59:59.999999Z")).toEqual([]);
      // 2024-02-09 ended 90 days before this.
      expect(await expired(sql, "2024-05-10T00:00:00Z")).toEqual(["metrics_y2024m02d09"]);
    });
  });

  test("goes through tables in the order in which decisions write them", async () => {
    await undone(async (sql) => {
      const rows = await sql<{ table: string }[]>`
        select e.table_name as table
        from rate_limiter_private.expired_partitions('2100-01-01') as e
        where e.table_name in ('denial_counts', 'token_transactions')
      `;
      const tables = rows.map(({ table }) => table);
      expect(new Set(tables).size).toBe(2);
      expect(tables).toEqual(tables.toSorted());
    });
  });

  test("drops what has expired and nothing younger", async () => {
    await undone(async (sql) => {
      await prepare(sql);
      await sample(sql, "2024-02-09T10:00:00Z");
      await sample(sql, "2024-02-10T10:00:00Z");
      const at = "2024-05-10T00:00:00Z";
      const names = await sql<{ name: string }[]>`
        select e.partition_name as name from rate_limiter_private.expired_partitions(${at}) as e
        where e.data_type = 'raw_metrics'
      `;
      expect(names.map(({ name }) => name).sort()).toEqual([
        "bandwidth_metrics_y2024m02d09",
        "denial_counts_y2024m02d09",
        "iops_metrics_y2024m02d09",
        "metrics_y2024m02d09",
      ]);
      for (const { name } of names) {
        await sql`select rate_limiter_private.drop_partition(${name}, ${at})`;
      }
      expect(await homes(sql)).toEqual(["metrics_y2024m02d10"]);
      expect(await partitionsOf(sql, "metrics")).not.toContain("metrics_y2024m02d09");
    });
  });

  test.each([
    ["metrics", 90],
    ["token_transactions", 365],
    ["audit_logs", 365],
    ["alert_history", 730],
  ])("keeps %s for as long as its policy says: %d days", async (table, days) => {
    await undone(async (sql) => {
      await prepare(sql);
      const [oldest] = await sql`
        select min(ends_at) as ends_at from rate_limiter_internal.partitions()
        where table_name = ${table} and not is_default
      `;
      const expiredAfter = async (count: number) => {
        const [row] = await sql`
          select (${oldest?.ends_at}::timestamptz + make_interval(days => ${count}))::text as at
        `;
        return expired(sql, row?.at, table);
      };
      expect(await expiredAfter(days - 1)).toEqual([]);
      // A year may have 366 days.
      expect(await expiredAfter(days + 1)).not.toEqual([]);
    });
  });

  test("follows the setting, the policy's own period and its switch", async () => {
    await undone(async (sql) => {
      await prepare(sql);
      const at = "2024-02-20T00:00:00Z";
      expect(await expired(sql, at)).toEqual([]);
      await sql`
        update rate_limiter.system_settings set value = '10' where key = 'metric_retention_days'
      `;
      expect(await expired(sql, at)).toEqual(["metrics_y2024m02d09"]);
      await sql`
        update rate_limiter.retention_policies
        set setting_key = null, retain_for = '9 days' where data_type = 'raw_metrics'
      `;
      expect(await expired(sql, at)).toEqual(["metrics_y2024m02d09", "metrics_y2024m02d10"]);
      await sql`
        update rate_limiter.retention_policies set is_active = false
        where data_type = 'raw_metrics'
      `;
      expect(await expired(sql, at)).toEqual([]);
    });
  });

  test.each([
    ["metrics_y2024m02d10", "QS409", "partition has not expired"],
    ["metrics_default", "QS409", "partition has not expired"],
    ["no_such", "QS404", "unknown partition"],
    ["'; drop table x; --", "QS404", "unknown partition"],
  ])("refuses to drop %s: %s, %s", async (name, code, message) => {
    await undone(async (sql) => {
      await prepare(sql);
      await expectSqlState(
        sql`select rate_limiter_private.drop_partition(${name}, '2024-05-10 00:00:00+00')`,
        code,
        message,
      );
    });
  });
});

describe("retention policies", () => {
  test("have a row for each type of data of the source design, with its period", async () => {
    const rows = await database.sql`
      select p.data_type, p.action,
        rate_limiter_internal.retention_period(p.data_type)::text as period
      from rate_limiter.retention_policies as p order by p.data_type
    `;
    expect(rows.map((row) => [row.data_type, row.period, row.action])).toEqual(
      expect.arrayContaining([
        ["alert_history", "2 years", "drop_partitions"],
        ["audit_logs", "365 days", "drop_partitions"],
        ["daily_aggregates", "5 years", "delete_rows"],
        ["hourly_aggregates", "1 year", "delete_rows"],
        ["quota_version_history", "5 years", "archive_rows"],
        ["raw_metrics", "90 days", "drop_partitions"],
        ["token_borrowing", "1 year", "delete_rows"],
        ["token_transactions", "1 year", "drop_partitions"],
        ["user_sessions", "90 days", "delete_rows"],
      ]),
    );
  });
});
