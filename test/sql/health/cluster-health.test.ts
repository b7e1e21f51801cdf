import { beforeEach, describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { makeApplication, makeCluster } from "../world.ts";

const database = await createDatabase();
const { sql } = database;
const worker = database.as("rate_limiter_worker");
const start = Date.now();
const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();

let clusterId = "";

beforeEach(async () => {
  await sql`update rate_limiter.clusters set health_check_url = null`;
  clusterId = await makeCluster(sql);
  await setUrl("https://storage.example/health");
});

const setUrl = (url: string | null, id = clusterId) => sql`
  update rate_limiter.clusters set health_check_url = ${url} where cluster_id = ${id}
`;

const claim = (seconds: number, batchSize = 16) =>
  worker<
    { cluster_id: string; health_check_url: string; asked_at: string }[]
  >`select * from rate_limiter_private.probe_clusters(${at(seconds)}, ${batchSize})`;

async function record(askedAt: string, isUp: boolean | null, message = "told") {
  const [row] = await worker`
    select rate_limiter_private.record_cluster_health(${clusterId}, ${askedAt}, ${isUp}, ${message})
      as status
  `;
  return row?.status;
}

async function probed(seconds: number, isUp: boolean | null): Promise<string> {
  const [due] = await claim(seconds);
  return (await record(due?.asked_at ?? "", isUp)) as string;
}

async function health() {
  const [row] = await sql`
    select health_status as status, health_streak as streak, health_message as message,
      health_checked_at as checked_at
    from rate_limiter.clusters where cluster_id = ${clusterId}
  `;
  return row;
}

describe("the health of a cluster", () => {
  test.each([
    ["is healthy with the first success", "+", "healthy"],
    ["is degraded with the first failure", "-", "degraded"],
    ["is degraded after a single failure", "+-", "healthy degraded"],
    ["is unhealthy with the third failure in a row", "+---", "healthy degraded degraded unhealthy"],
    ["is degraded while it fails now and then", "+-+-", "healthy degraded degraded degraded"],
    [
      "is healthy again with the second success in a row",
      "+-++",
      "healthy degraded degraded healthy",
    ],
    [
      "comes back from unhealthy by way of degraded",
      "---++",
      "degraded degraded unhealthy degraded healthy",
    ],
    [
      "is not unhealthy at once after it began to come back",
      "---+-",
      "degraded degraded unhealthy degraded degraded",
    ],
    [
      "is unknown where it cannot be asked, and begins anew after that",
      "---?+",
      "degraded degraded unhealthy unknown healthy",
    ],
  ])("%s", async (_, findings, wanted) => {
    const statuses: string[] = [];
    for (const [index, finding] of [...findings].entries()) {
      statuses.push(await probed(index * 60, finding === "?" ? null : finding === "+"));
    }
    expect(statuses.join(" ")).toBe(wanted);
  });

  test("says when it was asked and what was found, in at most 200 characters", async () => {
    const [due] = await claim(0);
    await record(due?.asked_at ?? "", false, "x".repeat(300));
    expect(await health()).toMatchObject({ status: "degraded", streak: -1 });
    expect((await health())?.message).toHaveLength(200);
    expect(Date.parse((await health())?.checked_at)).toBe(start);
  });

  test("is unknown again as soon as another address is to be asked, or none", async () => {
    await probed(0, true);
    const [due] = await claim(60);
    await setUrl("https://other.example/");
    expect(await health()).toEqual({
      status: "unknown",
      streak: 0,
      message: null,
      checked_at: null,
    });
    expect(await record(due?.asked_at ?? "", false)).toBe(null);
    await probed(120, true);
    await setUrl(null);
    expect(await health()).toMatchObject({ status: "unknown" });
    expect(await claim(180)).toHaveLength(0);
  });

  test("takes nothing from a probe that ended after the next one began", async () => {
    const [first] = await claim(0);
    const [second] = await claim(60);
    expect(await record(second?.asked_at ?? "", true)).toBe("healthy");
    expect(await record(first?.asked_at ?? "", false)).toBe(null);
    expect(await health()).toMatchObject({ status: "healthy" });
  });

  test("that changes is in the audit, and what else a probe writes is not", async () => {
    const audited = async () => {
      const rows = await sql`
        select old_values, new_values from rate_limiter_audit.audit_logs
        where entity_id = ${clusterId} order by created_at
      `;
      return rows.slice(2);
    };
    const updatedAt = async () =>
      (await sql`select updated_at from rate_limiter.clusters where cluster_id = ${clusterId}`)[0];
    const before = await updatedAt();
    await probed(0, true);
    await probed(60, true);
    await probed(120, false);
    expect(await audited()).toEqual([
      { old_values: { health_status: "unknown" }, new_values: { health_status: "healthy" } },
      { old_values: { health_status: "healthy" }, new_values: { health_status: "degraded" } },
    ]);
    expect(await updatedAt()).toEqual(before);
  });

  test("is asked at an http address, without a password in it", async () => {
    for (const url of [
      "ftp://storage.example",
      "https://me:secret@storage.example/",
      "http://a b/",
    ]) {
      await expectSqlState(setUrl(url), "23514");
    }
    await setUrl("http://storage.example:8080/health?deep=yes");
  });
});

describe("clusters to probe", () => {
  test("are claimed once a minute, those unasked longest first, by one worker each", async () => {
    const ids = [clusterId];
    for (const _ of [1, 2, 3]) {
      const id = await makeCluster(sql);
      await setUrl("https://storage.example/", id);
      ids.push(id);
    }
    await claim(0, 2);
    const rest = await claim(10);
    expect(rest).toHaveLength(2);
    expect(await claim(20)).toHaveLength(0);
    const again = await claim(60, 3);
    expect(again).toHaveLength(3);
    const session = await database.session("other", "rate_limiter_owner");
    await session.sql`begin`;
    await session.sql`
      select from rate_limiter.clusters where cluster_id = ${ids[0] ?? ""} for no key update
    `;
    const left = await claim(200);
    expect(left.map((row) => row.cluster_id).sort()).toEqual(ids.slice(1).sort());
    await session.sql`rollback`;
  });

  test("are claimed by a clock that stepped back, too", async () => {
    expect(await claim(3600)).toHaveLength(1);
    expect(await claim(0)).toHaveLength(1);
    expect(await claim(10)).toHaveLength(0);
  });
});

describe("the metric qos_cluster_health", () => {
  const recordAt = (seconds: number) => worker`
    select rate_limiter_private.record_system_metrics(${at(seconds)})
  `;
  const samples = async (appId: string) => {
    const rows = await sql`
      select value from rate_limiter.metrics
      where app_id = ${appId} and metric_name = 'qos_cluster_health' order by "timestamp"
    `;
    return rows.map((row) => row.value);
  };
  const watch = (appId: string) => sql`
    insert into rate_limiter.alert_configs
      (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
       notification_config)
    values (${appId}, 'qos_cluster_health', '<', 1, 60, 'critical', '{}')
  `;

  test("is written each minute for those who watch it, and triggers and ends an alert", async () => {
    const appId = await makeApplication(sql, { clusterId });
    const other = await makeApplication(sql, { clusterId });
    await watch(appId);
    await recordAt(0);
    expect(await samples(appId)).toEqual([]);
    const alerts = async (seconds: number) => {
      await worker`select rate_limiter_private.evaluate_alerts(${at(seconds)})`;
      const rows = await sql`select status from rate_limiter.alert_history where app_id = ${appId}`;
      return rows.map((row) => row.status);
    };
    for (const [minute, isUp] of [true, false, false, false].entries()) {
      await probed(60 * (minute + 1), isUp);
      await recordAt(60 * (minute + 1));
    }
    expect(await samples(appId)).toEqual([1, 0.5, 0.5, 0]);
    expect(await samples(other)).toEqual([]);
    expect(await alerts(60 * 4)).toEqual(["triggered"]);
    await probed(60 * 5, true);
    await probed(60 * 6, true);
    await recordAt(60 * 6);
    expect(await alerts(60 * 6)).toEqual(["resolved"]);
  });

  test("is not made up while nothing is known", async () => {
    const appId = await makeApplication(sql, { clusterId });
    await watch(appId);
    await probed(1000, true);
    await recordAt(1020);
    await setUrl(null);
    await recordAt(1200);
    expect(await samples(appId)).toEqual([1]);
  });
});
