import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { listManifests } from "../../../src/worker/archive/list.ts";
import { verifyArchive } from "../../../src/worker/archive/manifest.ts";
import { openStore } from "../../../src/worker/archive/open-store.ts";
import { restoreArchive } from "../../../src/worker/archive/restore.ts";
import { makeTenant } from "../../data-model/world.ts";
import { makeApplication } from "../../denials/world.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { daysAgo, retentionWorld } from "./world.ts";

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
        sql`insert into rate_limiter.metrics_hourly values (${appId}, 'm', ${at}, 1, 1, 1, 1, 1, 1, 1)`,
    );
    for (const [table, old, young] of [
      ["charges", 31, 29],
      ["token_leases", 8, 6],
    ] as const) {
      for (const days of [old, young]) {
        if (table === "charges") {
          await sql`
            insert into rate_limiter.charges
              (app_id, reference_id, operation, size_bytes, cost, charged, charged_at)
            values (${appId}, ${String(days)}, 'list', 0, 1, '{}', ${daysAgo(days)})
          `;
        } else {
          await sql`
            insert into rate_limiter.token_leases
              (app_id, tokens, bytes, charged, granted_at, expires_at, settled_at)
            values (
              ${appId}, 1, 0, '{}', ${daysAgo(days, 20)}, ${daysAgo(days, 10)}, ${daysAgo(days)}
            )
          `;
        }
      }
    }
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
        (select array_agg(reference_id) from rate_limiter.charges where app_id = ${appId})
          as charges,
        (select count(*)::integer from rate_limiter.token_leases where app_id = ${appId}) as leases,
        (select array_agg(status::text order by status) from rate_limiter.token_borrowing
          where owner_id = ${appId}) as borrowings
    `;
    expect(left).toEqual({
      hours: 1,
      charges: ["29"],
      leases: 1,
      // What was written off lately is young, however long it was owed.
      borrowings: ["active", "repaid", "defaulted", "cancelled"],
    });
  });

  test("are notices and checks of the ledger too, old ones alone", async () => {
    const { alertId } = await makeTenant(database, "notices");
    await sql`
      insert into rate_limiter.alert_notices
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
    expect(await applyRetention()).toBeNull();
    const [left] = await sql`
      select
        (select count(*)::integer from rate_limiter.alert_notices
          where alert_id = ${alertId} and created_at < now() - interval '1 day') as notices,
        (select array_agg(checked_at) from rate_limiter_private.ledger_checks) as checks
    `;
    expect(left?.notices).toBe(1);
    expect(left?.checks.length).toBe(1);
  });

  test("of every type that is deleted are covered here", async () => {
    const rows = await sql<{ name: string }[]>`
      select data_type as name from rate_limiter_internal.expiring_rows() order by 1
    `;
    expect(rows.map((row) => row.name)).toEqual([
      "alert_notices",
      "charges",
      "daily_aggregates",
      "hourly_aggregates",
      "ledger_checks",
      "quota_version_history",
      "token_borrowing",
      "token_leases",
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
          ${appId}, 'm',
          date_trunc(${unit}, now() - make_interval(years => ${years}), 'UTC') - n * ('1 ' || ${unit})::interval,
          1, 1, 1, 1, 1, 1, 1
        from generate_series(0, 1) as n
      `;
      expect(await applyRetention()).toBeNull();
      const left = await sql`select from rate_limiter.${sql(table)} where app_id = ${appId}`;
      expect(left.count).toBe(1);
    }
  });

  test("are sessions that ended by themselves or by somebody", async () => {
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
        (app_id, reference_id, operation, size_bytes, cost, charged, charged_at)
      values (${appId}, 'kept', 'list', 0, 1, '{}', ${daysAgo(40)})
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
        (app_id, reference_id, operation, size_bytes, cost, charged, charged_at)
      select ${appId}, n, 'list', 0, 1, '{}', ${daysAgo(40)}
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

  test("cannot be younger, whatever cutoff or clock somebody names", async () => {
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
        (app_id, reference_id, operation, size_bytes, cost, charged, charged_at)
      values (${appId}, 'young', 'list', 0, 1, '{}', now())
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
      /^app_id,"timestamp",metric_id,/,
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
    const stragglers = await sql`select from rate_limiter_partitions.metrics_default`;
    expect(stragglers.count).toBe(0);
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
    await sql`select rate_limiter_private.move_stragglers()`;
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
        (app_id, reference_id, operation, size_bytes, cost, charged, charged_at)
      values (${appId}, 'old', 'list', 0, 1, '{}', ${daysAgo(40)})
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
    await other.sql`select rate_limiter_private.begin_retention()`;
    expect(await applyRetention()).toBeNull();
    expect((await metricRows()).length).toBe(3);
    await other.close();
    expect(await applyRetention()).toBeNull();
    expect(await metricRows()).toEqual([]);
  });
});

async function borrowing(status: string, daysOld: number, metadata = {}): Promise<void> {
  const isRepaid = status === "repaid";
  await sql`
    insert into rate_limiter.token_borrowing
      (owner_id, bucket_type, tokens_borrowed, repayment_tokens, repaid_tokens, interest_rate,
       borrowed_at, due_at, collect_at, repaid_at, status, metadata)
    values (
      ${appId}, 'iops_l2', 1, 1, ${isRepaid ? 1 : 0}, 0, ${daysAgo(daysOld, 60)},
      ${daysAgo(daysOld)}, ${daysAgo(-10_000)}, ${isRepaid ? daysAgo(daysOld) : null}, ${status},
      ${sql.json(metadata)}
    )
  `;
}
