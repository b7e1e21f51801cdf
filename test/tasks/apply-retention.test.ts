import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { drainDefaultPartitions } from "../../src/archive/drain-default-partitions.ts";
import { listManifests } from "../../src/archive/list.ts";
import { verifyArchive } from "../../src/archive/manifest.ts";
import { openStore } from "../../src/archive/open-store.ts";
import { restoreArchive } from "../../src/archive/restore.ts";
import { withConnection } from "../../src/postgres/connect.ts";
import { executeStep } from "../../src/worker/retention/execute-step.ts";
import { type RetentionStep, stepColumns } from "../../src/worker/retention/step.ts";
import { makeTenant } from "../data-model/world.ts";
import { createDatabase, expectSqlState } from "../harness/index.ts";
import { makeApplication } from "../sql/denials/world.ts";
import { daysAgo, retentionWorld } from "./apply-retention-world.ts";

const database = await createDatabase();
const { sql } = database;
const worker = database.as("rate_limiter_worker");
const world = retentionWorld(database);

let appId = "";

beforeEach(async () => {
  appId = await makeApplication(database);
  await sql`update rate_limiter.retention_policies set export_first = false`;
  await sql`delete from rate_limiter_private.metric_changes`;
});

function archiveFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "archive-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const applyRetention = (folder?: string) =>
  world.applyRetention({ ...(folder && { QOS_ARCHIVE_FOLDER: folder }) });
const oldMetrics = (days: number, count?: number) => world.oldMetrics(appId, days, count);
const metricRows = () => world.metricRows(appId);
const { exportFirst } = world;

describe("a policy", () => {
  test.each(["P-1Y361D", "P1M-29D", "P2DT-25H", "-1 day", "PT23H59M", "P0D"])(
    "of %s is refused",
    async (period) => {
      const change = sql`
        update rate_limiter.retention_policies set retain_for = ${period}::interval
        where data_type = 'token_transactions'
      `;
      await expectSqlState(change, "23514");
    },
  );

  test.each(["P-1Y361D", "P1M-29D", "PT1H", "-100 years"])(
    "of %s, from wherever it came, leaves the last day alone",
    async (period) => {
      await withConnection(database.url, async (session) => {
        await session`begin`;
        await session.unsafe(`
          alter table rate_limiter.retention_policies
            drop constraint retention_has_no_negative_part,
            drop constraint retention_is_a_day_at_least
        `);
        await session`
          update rate_limiter.retention_policies set retain_for = ${period}::interval
          where data_type in ('token_transactions', 'charges')
        `;
        const late = await session`
          select data_type
          from rate_limiter.retention_policies as p
          where rate_limiter_internal.retained_since(now(), p.data_type) > now() - interval '1 day'
        `;
        expect([...late]).toEqual([]);
        const today = await session`
          select partition_name from rate_limiter_private.expired_partitions(now())
          where ends_at > now() - interval '1 day'
        `;
        expect([...today]).toEqual([]);
        await session`rollback`;
      });
    },
  );
});

describe("rows that are deleted", () => {
  test("go when they are older than their policy, and no sooner", async () => {
    const insert = async (old: string, young: string, put: (at: string) => Promise<unknown>) => {
      await put(old);
      await put(young);
    };
    const hour = (at: string) => new Date(Math.floor(Date.parse(at) / 3.6e6) * 3.6e6).toISOString();
    await insert(
      hour(daysAgo(367)),
      hour(daysAgo(364)),
      (at) =>
        sql`insert into rate_limiter.metrics_hourly values (1, ${appId}, 'm', ${at}, 1, 1, 1, 1, 1, 1, 1)`,
    );
    await insert(
      hour(daysAgo(367)),
      hour(daysAgo(364)),
      (at) => sql`
        insert into rate_limiter_private.usage_hourly
        values (1, ${appId}, 'iops_l2', ${at}, 1, 0, 0, 1, 1)
      `,
    );
    await insert(
      daysAgo(5 * 366),
      daysAgo(5 * 365 - 2),
      (at) => sql`
        insert into rate_limiter_private.usage_daily
        values (1, ${appId}, 'iops_l2', (${at}::timestamptz at time zone 'UTC')::date, 1, 0, 0, 1, 1)
      `,
    );
    await insert(
      daysAgo(31),
      daysAgo(29),
      (at) => sql`
        insert into rate_limiter.charges
          (shard_key, app_id, reference_id, operation, size_bytes, cost, cost_rates, charged, charged_at)
        values (1, ${appId}, ${at}, 'list', 0, 1, '(1,0,4096)', '{}', ${at})
      `,
    );
    await insert(
      daysAgo(31),
      daysAgo(29),
      (at) => sql`
        insert into rate_limiter.late_charges
          (shard_key, app_id, idempotency_key, tokens, bytes, charged, charged_at)
        values (1, ${appId}, ${at}, 1, 0, '{}', ${at})
      `,
    );
    await insert(
      daysAgo(31),
      daysAgo(29),
      (at) => sql`
        insert into rate_limiter.uncharged_counts
          (shard_key, app_id, minute, reason, operations, tokens, bytes)
        values (1, ${appId}, date_trunc('minute', ${at}::timestamptz), 'owed', 1, 1, 0)
      `,
    );
    await insert(
      daysAgo(8),
      daysAgo(6),
      (at) => sql`
        insert into rate_limiter.token_leases
          (shard_key, app_id, tokens, bytes, charged, granted_at, expires_at, settled_at)
        values (
          1, ${appId}, 1, 0, '{}', ${at}::timestamptz - interval '20 s',
          ${at}::timestamptz - interval '10 s', ${at}
        )
      `,
    );
    await borrowing("repaid", 400);
    await borrowing("repaid", 300);
    await borrowing("cancelled", 400);
    await borrowing("active", 400);
    await borrowing("defaulted", 400);
    await borrowing("cancelled", 399, { cancelled_at: daysAgo(300) });

    expect(await applyRetention()).toBeNull();
    const [left] = await sql`
      select
        (select count(*)::integer from rate_limiter.metrics_hourly where app_id = ${appId}) as hours,
        (select count(*)::integer from rate_limiter_private.usage_hourly where app_id = ${appId})
          as usage_hours,
        (select count(*)::integer from rate_limiter_private.usage_daily where app_id = ${appId})
          as usage_days,
        (select array_agg(charged_at > now() - interval '30 days')
          from rate_limiter.charges where app_id = ${appId}) as charges,
        (select count(*)::integer from rate_limiter.late_charges where app_id = ${appId})
          as late_charges,
        (select count(*)::integer from rate_limiter.uncharged_counts where app_id = ${appId})
          as uncharged,
        (select count(*)::integer from rate_limiter.token_leases where app_id = ${appId}) as leases,
        (select array_agg(status::text order by status) from rate_limiter.token_borrowing
          where owner_id = ${appId}) as borrowings
    `;
    expect(left).toEqual({
      hours: 1,
      usage_hours: 1,
      usage_days: 1,
      charges: [true],
      late_charges: 1,
      uncharged: 1,
      leases: 1,
      // What was written off lately is young, however long it was owed.
      borrowings: ["active", "repaid", "cancelled"],
    });
  });

  test("are notices, checks of the ledger and failures of jobs too, old ones alone", async () => {
    const { alertId } = await makeTenant(database, "notices");
    await sql`
      insert into rate_limiter.alert_notifications
        (app_id, alert_id, history_id, event, channel_number, channel, content, created_at,
         status, sent_at)
      select
        c.app_id, c.alert_id, gen_random_uuid(), 'triggered', 1, 'log', '{}', old.moment,
        'sent', old.moment
      from rate_limiter.alert_configs as c
      cross join unnest(${[daysAgo(91), daysAgo(89)]}::timestamptz[]) as old (moment)
      where c.alert_id = ${alertId}
    `;
    await sql`
      insert into rate_limiter_private.ledger_checks (from_time, checked_at, gap_count)
      values ('-infinity', ${daysAgo(367)}, 0), ('-infinity', ${daysAgo(364)}, 0)
    `;
    await sql`
      insert into rate_limiter_private.job_failures (job, subject, last_failed_at, last_error)
      values ('x', 'old', ${daysAgo(91)}, 'x'), ('x', 'young', ${daysAgo(89)}, 'x')
    `;
    expect(await applyRetention()).toBeNull();
    const [left] = await sql`
      select
        (select count(*)::integer from rate_limiter.alert_notifications
          where alert_id = ${alertId} and created_at < now() - interval '1 day') as notices,
        (select array_agg(checked_at) from rate_limiter_private.ledger_checks) as checks,
        (select array_agg(subject) from rate_limiter_private.job_failures) as failures
    `;
    expect(left?.notices).toBe(1);
    expect(left?.failures).toEqual(["young"]);
    expect(left?.checks.length).toBe(1);
  });

  test("of every type that is deleted are covered here", async () => {
    const rows = await sql<{ name: string }[]>`
      select data_type as name from rate_limiter_internal.expiring_rows() order by 1
    `;
    expect(rows.map((row) => row.name)).toEqual([
      "alert_notifications",
      "charges",
      "daily_aggregates",
      "daily_usage",
      "hourly_aggregates",
      "hourly_usage",
      "job_failures",
      "late_charges",
      "ledger_checks",
      "quota_version_history",
      "token_borrowing",
      "token_leases",
      "uncharged_counts",
      "user_sessions",
    ]);
  });

  test("are aggregates only when their youngest sample is old enough", async () => {
    for (const [table, unit, years] of [
      ["metrics_hourly", "hour", 1],
      ["metrics_daily", "day", 5],
    ] as const) {
      // One ended before the policy's moment; in the other that moment lies.
      await sql`
        insert into rate_limiter.${sql(table)}
        select
          1, ${appId}, 'm',
          date_trunc(${unit}, now() - make_interval(years => ${years}), 'UTC') - n * ('1 ' || ${unit})::interval,
          1, 1, 1, 1, 1, 1, 1
        from generate_series(0, 1) as n
      `;
      expect(await applyRetention()).toBeNull();
      const left = await sql`select from rate_limiter.${sql(table)} where app_id = ${appId}`;
      expect(left.count).toBe(1);
    }
  });

  test("are sessions that expired or were ended", async () => {
    const { users } = await makeTenant(database, "sessions");
    const start = async (days: number) => {
      const [session] = await sql<{ id: string }[]>`
        select session_id as id from rate_limiter_private.start_session(
          ${daysAgo(days)}::timestamptz, ${users.auditor}, null, null
        )
      `;
      return session?.id ?? "";
    };
    const [lapsed, revoked, recent] = [await start(200), await start(95), await start(95)];
    await sql`
      update rate_limiter_private.user_sessions
      set revoked_at = ${daysAgo(91)}, revoke_reason = 'logout' where session_id = ${revoked}
    `;
    expect(await applyRetention()).toBeNull();
    const left = await sql`
      select session_id as id from rate_limiter_private.user_sessions
      where session_id in ${sql([lapsed, revoked, recent])}
    `;
    expect([...left]).toEqual([{ id: recent }]);
  });

  test("stay while their policy is switched off", async () => {
    await sql`
      insert into rate_limiter.charges
        (shard_key, app_id, reference_id, operation, size_bytes, cost, cost_rates, charged, charged_at)
      values (1, ${appId}, 'kept', 'list', 0, 1, '(1,0,4096)', '{}', ${daysAgo(40)})
    `;
    const switchTo = (isActive: boolean) => sql`
      update rate_limiter.retention_policies set is_active = ${isActive}
      where data_type = 'charges'
    `;
    const count = async () =>
      (await sql`select from rate_limiter.charges where app_id = ${appId}`).count;
    await switchTo(false);
    expect(await applyRetention()).toBeNull();
    expect(await count()).toBe(1);
    await switchTo(true);
    expect(await applyRetention()).toBeNull();
    expect(await count()).toBe(0);
  });

  test("are many batches, if they are many", async () => {
    await sql`
      insert into rate_limiter.charges
        (shard_key, app_id, reference_id, operation, size_bytes, cost, cost_rates, charged, charged_at)
      select 1, ${appId}, n, 'list', 0, 1, '(1,0,4096)', '{}', ${daysAgo(40)}
      from generate_series(1, 2500) as n
    `;
    expect(await applyRetention()).toBeNull();
    const rows = await sql`select from rate_limiter.charges where app_id = ${appId}`;
    expect(rows.count).toBe(0);
  });

  test("are quota versions only marked, never deleted", async () => {
    await sql.begin(async (inside) => {
      await inside`set local session_replication_role = replica`;
      await inside`
        update rate_limiter_audit.quota_version_history
        set changed_at = ${daysAgo(6 * 366)} where app_id = ${appId}
      `;
    });
    expect(await applyRetention()).toBeNull();
    const [row] = await sql`
      select archived_at is not null as is_archived
      from rate_limiter_audit.quota_version_history where app_id = ${appId}
    `;
    expect(row?.is_archived).toBe(true);
  });

  test("cannot be younger, whatever cutoff or clock a caller names", async () => {
    for (const call of ["expire_rows", "export_rows", "rows_extent"]) {
      await expectSqlState(
        worker`select rate_limiter_private.${worker(call)}('charges', now() - interval '29 days')`,
        "QS409",
        "rows have not expired",
      );
    }
    await expectSqlState(
      worker`select rate_limiter_private.expire_rows('audit_logs', '2000-01-01')`,
      "QS422",
      "data type has no rows to expire",
    );
    await sql`
      insert into rate_limiter.charges
        (shard_key, app_id, reference_id, operation, size_bytes, cost, cost_rates, charged, charged_at)
      values (1, ${appId}, 'young', 'list', 0, 1, '(1,0,4096)', '{}', now())
    `;
    const plan = await worker`
      select from rate_limiter_private.retention_plan('2999-01-01') where data_type = 'charges'
    `;
    expect(plan.count).toBe(0);
  });
});

describe("partitions", () => {
  test("are dropped when they have expired; a dry run only says so", async () => {
    await oldMetrics(95);
    await oldMetrics(88);
    const plan = await worker`
      select relation, row_count from rate_limiter_private.retention_plan()
      where relation = 'rate_limiter.metrics'
    `;
    expect([...plan]).toEqual([{ relation: "rate_limiter.metrics", row_count: "3" }]);
    expect((await metricRows()).length).toBe(6);
    expect(await applyRetention()).toBeNull();
    expect((await metricRows()).length).toBe(3);
  });

  test.each(["drop", "export and drop"])(
    "that are gone since they were listed fail no step: %s",
    async (kind) => {
      await oldMetrics(95);
      const [step] = await worker<RetentionStep[]>`
        select ${worker.unsafe(stepColumns)}
        from rate_limiter_private.retention_plan()
        where relation = 'rate_limiter.metrics'
      `;
      if (step === undefined) throw new Error("nothing has expired");
      await worker`select rate_limiter_private.drop_partition(${step.partition_name})`;
      const options = { archive: openStore(archiveFolder()), signal: AbortSignal.timeout(30_000) };
      await world.withClient((client) =>
        executeStep(client, { ...step, export_first: kind !== "drop" }, options),
      );
    },
  );

  test("wait until their samples are aggregated", async () => {
    await oldMetrics(95);
    await worker`select rate_limiter_private.mark_for_aggregation('-infinity', 'infinity')`;
    expect(await applyRetention()).toBeNull();
    expect((await metricRows()).length).toBe(3);
    await sql`delete from rate_limiter_private.metric_changes`;
    expect(await applyRetention()).toBeNull();
    expect(await metricRows()).toEqual([]);
  });

  test("are exported first where asked, and come back as they were", async () => {
    const folder = archiveFolder();
    await exportFirst("raw_metrics");
    await oldMetrics(95, 5000);
    const before = await metricRows();
    expect(await applyRetention(folder)).toBeNull();
    expect(await metricRows()).toEqual([]);

    const [path = ""] = (await listManifests(openStore(folder))).filter((name) =>
      /\/metrics_y/.test(name),
    );
    const { manifest, file } = await verifyArchive(openStore(folder), path);
    expect(manifest).toMatchObject({
      data_type: "raw_metrics",
      relation: "rate_limiter.metrics",
      rows: 5000,
    });
    expect(Date.parse(manifest.min_time ?? "")).toBe(Date.parse(manifest.max_time ?? ""));
    expect(gunzipSync(readFileSync(join(folder, file))).toString()).toMatch(
      /^shard_key,app_id,"timestamp",metric_id,/,
    );

    const owner = database.urlAs("rate_limiter_owner");
    const relation = "rate_limiter.metrics";
    expect(await restoreArchive(owner, openStore(folder), path)).toEqual({
      relation,
      restored: 5000,
      present: 0,
    });
    expect(await metricRows()).toEqual(before);
    expect(await restoreArchive(owner, openStore(folder), path)).toEqual({
      relation,
      restored: 0,
      present: 5000,
    });
    const misplaced = await sql`select from rate_limiter_partitions.metrics_default`;
    expect(misplaced.count).toBe(0);
    expect(await applyRetention(folder)).toBeNull();
  });

  test("that come again are archived beside those that went, and none twice", async () => {
    const folder = archiveFolder();
    await exportFirst("raw_metrics");
    await oldMetrics(95);
    const first = await metricRows();
    expect(await applyRetention(folder)).toBeNull();
    const archives = async () =>
      (await listManifests(openStore(folder))).filter((name) => /\/metrics_y/.test(name));
    const [path = ""] = await archives();
    const owner = database.urlAs("rate_limiter_owner");
    await restoreArchive(owner, openStore(folder), path);
    expect(await applyRetention(folder)).toBeNull();
    expect(await archives()).toEqual([path]);

    await oldMetrics(95, 2);
    const second = await metricRows();
    expect(await applyRetention(folder)).toBeNull();
    const both = await archives();
    expect(both.length).toBe(2);
    for (const manifest of both) await restoreArchive(owner, openStore(folder), manifest);
    expect(await metricRows()).toEqual([...first, ...second].sort());
    await applyRetention(folder);
  });

  test("of the audit and of alerts come back too", async () => {
    const folder = archiveFolder();
    await exportFirst("audit_logs");
    await sql`
      insert into rate_limiter_audit.audit_logs
        (app_id, action, entity_type, old_values, ip_address, user_agent, created_at)
      values (${appId}, 'update', 'x', ${sql.json({ a: 'é"\\' })}, '10.0.0.1', E'a\nb,"c"', ${daysAgo(500)})
    `;
    await drainDefaultPartitions(sql);
    const rows = () => sql`
      select a::text from rate_limiter_audit.audit_logs as a
      where a.app_id = ${appId} and a.created_at < now() - interval '1 year'
    `;
    const before = [...(await rows())];
    expect(before.length).toBe(1);
    expect(await applyRetention(folder)).toBeNull();
    expect((await rows()).count).toBe(0);
    const [path = ""] = await listManifests(openStore(folder));
    await restoreArchive(database.urlAs("rate_limiter_owner"), openStore(folder), path);
    expect([...(await rows())]).toEqual(before);
    await applyRetention(folder);
  });

  test("stay when they changed after their export, and when they have not expired", async () => {
    await oldMetrics(95);
    const [part] = await worker<{ name: string }[]>`
      select partition_name as name from rate_limiter_private.retention_plan()
      where relation = 'rate_limiter.metrics'
    `;
    await expectSqlState(
      worker`
        select rate_limiter_private.drop_exported_partition(${part?.name ?? ""}, 2, null, null)
      `,
      "QS409",
      "partition changed after its export",
    );
    const day = new Date().toISOString().slice(0, 10);
    const today = `metrics_y${day.replace("-", "m").replace("-", "d")}`;
    for (const call of ["export_partition", "drop_partition"]) {
      await expectSqlState(
        worker`select rate_limiter_private.${worker(call)}(${today})`,
        "QS409",
        "partition has not expired",
      );
    }
    await expectSqlState(
      worker`select rate_limiter_private.drop_partition(${today}, '2999-01-01')`,
      "QS409",
      "partition has not expired",
    );
    expect((await metricRows()).length).toBe(3);
    await applyRetention();
  });
});

describe("an archive", () => {
  test("takes rows of unpartitioned tables before they are deleted", async () => {
    const folder = archiveFolder();
    await exportFirst("token_borrowing");
    await borrowing("repaid", 400);
    await borrowing("active", 400);
    expect(await applyRetention(folder)).toBeNull();
    const [path = ""] = await listManifests(openStore(folder));
    const { manifest } = await verifyArchive(openStore(folder), path);
    expect(manifest).toMatchObject({ relation: "rate_limiter.token_borrowing", partition: null });
    const owner = database.urlAs("rate_limiter_owner");
    const answer = await restoreArchive(owner, openStore(folder), path);
    expect(answer.restored).toBe(manifest.rows);
    const left = await sql`
      select from rate_limiter.token_borrowing where owner_id = ${appId}
    `;
    expect(left.count).toBe(2);
    await sql`delete from rate_limiter.token_borrowing where owner_id = ${appId}`;
  });

  test("that is nowhere, or no folder, lets nothing go, and other policies do their work", async () => {
    await exportFirst("raw_metrics");
    await oldMetrics(95);
    await sql`
      insert into rate_limiter.charges
        (shard_key, app_id, reference_id, operation, size_bytes, cost, cost_rates, charged, charged_at)
      values (1, ${appId}, 'old', 'list', 0, 1, '(1,0,4096)', '{}', ${daysAgo(40)})
    `;
    expect(await applyRetention()).toContain("QOS_ARCHIVE_FOLDER is not set");
    const file = join(archiveFolder(), "file");
    writeFileSync(file, "");
    expect(await applyRetention(file)).toMatch(/ENOTDIR|EEXIST/);
    expect((await metricRows()).length).toBe(3);
    const charges = await sql`select from rate_limiter.charges where app_id = ${appId}`;
    expect(charges.count).toBe(0);
    const folder = archiveFolder();
    expect(await applyRetention(folder)).toBeNull();
    expect(await metricRows()).toEqual([]);
  });

  test("that is damaged restores nothing", async () => {
    const folder = archiveFolder();
    await exportFirst("raw_metrics");
    await oldMetrics(95);
    await applyRetention(folder);
    const [path = ""] = (await listManifests(openStore(folder))).filter((name) =>
      /\/metrics_y/.test(name),
    );
    const { file } = await verifyArchive(openStore(folder), path);
    const bytes = readFileSync(join(folder, file));
    bytes[bytes.length - 9] = (bytes[bytes.length - 9] ?? 0) ^ 1;
    writeFileSync(join(folder, file), bytes);
    const restored = restoreArchive(database.urlAs("rate_limiter_owner"), openStore(folder), path);
    await expect(restored).rejects.toMatchObject({ code: "archive_damaged" });
    writeFileSync(join(folder, path), "{}");
    await expect(verifyArchive(openStore(folder), path)).rejects.toMatchObject({
      code: "manifest_invalid",
    });
  });

  test("restores into no other table", async () => {
    await expectSqlState(
      sql`select rate_limiter_private.restore_rows('rate_limiter_private.api_keys', '{}', '[]')`,
      "QS422",
      "table is not one that is archived",
    );
  });

  test.runIf(process.getuid?.() === 0)("on a disk that is full lets nothing go", async () => {
    const folder = archiveFolder();
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=16k", "tmpfs", folder]);
    try {
      await exportFirst("raw_metrics");
      await oldMetrics(95, 5000);
      expect(await applyRetention(folder)).toContain("ENOSPC");
      expect((await metricRows()).length).toBe(5000);
      const files = readdirSync(folder, { recursive: true }).filter((name) =>
        /partial|metrics_y/.test(String(name)),
      );
      expect(files).toEqual([]);
    } finally {
      execFileSync("umount", [folder]);
    }
    expect(await applyRetention(folder)).toBeNull();
    expect(await metricRows()).toEqual([]);
  });

  test("is written by one worker at a time", async () => {
    await oldMetrics(95);
    const other = await database.session("other", "rate_limiter_worker");
    await other.sql`begin`;
    await other.sql`select rate_limiter_private.begin_retention()`.simple();
    // It holds no transaction id and no snapshot, so that vacuum goes on.
    const holders = await sql`
      select a.backend_xid, a.backend_xmin
      from pg_locks as l
      join pg_stat_activity as a on a.pid = l.pid
      where l.relation = 'rate_limiter_internal.retention_lock'::regclass
        -- Databases that were copied from one have the same oids.
        and a.datname = ${database.name}
    `;
    expect([...holders]).toEqual([{ backend_xid: null, backend_xmin: null }]);
    expect(await applyRetention()).toBeNull();
    expect((await metricRows()).length).toBe(3);
    await other.close();
    expect(await applyRetention()).toBeNull();
    expect(await metricRows()).toEqual([]);
  });
});

async function borrowing(status: string, daysOld: number, metadata = {}): Promise<void> {
  const isRepaid = status === "repaid" || status === "defaulted";
  await sql`
    insert into rate_limiter.token_borrowing
      (shard_key, owner_id, bucket_type, tokens_borrowed, repayment_tokens, repaid_tokens,
       interest_rate, borrowed_at, due_at, collect_at, repaid_at, status, metadata)
    values (
      1, ${appId}, 'iops_l2', 1, 1, ${isRepaid ? 1 : 0}, 0, ${daysAgo(daysOld, 60)},
      ${daysAgo(daysOld)}, ${daysAgo(-10_000)}, ${isRepaid ? daysAgo(daysOld) : null}, ${status},
      ${sql.json(metadata)}
    )
  `;
}
