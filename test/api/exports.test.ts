import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { setTimeout } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../harness/index.ts";
import { asUser } from "../sql/control-plane.ts";
import { type Api, serveApi } from "./api.ts";
import { type RoleName, roleNames, serveTwoTenants } from "./world.ts";

const { database, api, as, mine, theirs } = await serveTwoTenants();
const span = "since=2020-01-01T00:00:00Z&until=2030-01-01T00:00:00Z";
const exporters: readonly RoleName[] = roleNames.filter((role) => role !== "app_viewer");

/** Of rows this long a few thousand are more than all buffers on the way take. */
const long = 3_000;

async function samples(appId: string, count: number, name = "series", padding = 0) {
  await database.sql`
    insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_name, value, unit, tags)
    select
      rate_limiter_internal.shard_key_of(${appId}), ${appId}, now() - n * interval '1 millisecond', ${name}, n + 0.5, 'ops',
      case ${padding}::integer
        when 0 then '{"a": "b,c"}' else jsonb_build_object('a', repeat('x', ${padding}::integer))
      end
    from generate_series(1, ${count}::integer) as n
  `;
}
await samples(theirs.appId, 3, "secret of theirs");

const rowsOf = async (response: Response) =>
  (await response.text())
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

test("a client without a sign-in exports nothing, and each role what its permissions allow", async () => {
  for (const resource of ["metrics", "audit"]) {
    const anonymous = await api.nobody.fetch(`/export/${resource}.csv?${span}`);
    expect(anonymous.status).toBe(401);
    expect((await anonymous.json()) as unknown).toMatchObject({
      errors: [{ message: "not signed in", extensions: { code: "QS401" } }],
    });
  }
  const allowed = async (resource: string) => {
    const roles: RoleName[] = [];
    for (const role of roleNames) {
      const response = await as[role].fetch(`/export/${resource}.ndjson?${span}`);
      await response.text();
      if (response.status === 200) roles.push(role);
    }
    return roles;
  };
  expect(await allowed("metrics")).toEqual(exporters);
  expect(await allowed("audit")).toEqual(["system_admin", "tenant_admin", "auditor"]);
  const refused = await as.app_viewer.fetch(`/export/metrics.csv?${span}`);
  expect(refused.status).toBe(403);
});

/** All rows of an export as one reader takes them, and what came after the last. */
async function whole(server: Api, accessToken: string, url: string) {
  const response = await begun(server, accessToken, url);
  const rows = await restOf(response);
  return [rows, response.trailers] as const;
}

async function begun(server: Api, accessToken: string, url: string): Promise<IncomingMessage> {
  const headers = { authorization: `Bearer ${accessToken}` };
  const [response] = await once(get(new URL(url, server.url), { headers }), "response");
  return response as IncomingMessage;
}

async function restOf(response: IncomingMessage): Promise<Record<string, unknown>[]> {
  let text = "";
  for await (const part of response) text += part;
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

test.each([
  ["metrics", "appId,timestamp,metricId"],
  ["audit", "createdAt,logId"],
])("an export of %s stops at the row limit, and goes on after it", async (what, key) => {
  await samples(mine.appId, 8);
  const server = await serveApi(database, { API_MAX_EXPORT_ROWS: "3" });
  const { accessToken } = await server.signIn("tenant_admin@mine.example");
  const url = `/export/${what}.ndjson?${span}`;
  const [first, trailers] = await whole(server, accessToken, url);
  expect(trailers).toEqual({
    ...{ "x-exported-rows": "3", "x-truncated": "true" },
    "x-next-after": key
      .split(",")
      .map((column) => first[2]?.[column])
      .join(","),
  });
  const next = `${url}&after=${trailers["x-next-after"]}`;
  const [second] = await whole(server, accessToken, next);
  const all = await rowsOf(await as.tenant_admin.fetch(url));
  expect(all.length).toBeGreaterThan(6);
  expect([...first, ...second]).toEqual(all.slice(0, 6));
});

describe("metrics", () => {
  test("come as NDJSON, every digit and none of another tenant", async () => {
    await database.sql`
      insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_name, value)
      values (rate_limiter_internal.shard_key_of(${mine.appId}), ${mine.appId}, '2021-02-03 04:05:06.789012+00', 'exact', 0.1)
    `;
    const response = await as.ops_admin.fetch(`/export/metrics.ndjson?${span}`);
    expect(response.headers.get("content-type")).toBe("application/x-ndjson; charset=utf-8");
    const rows = await rowsOf(response);
    expect(rows[0]).toEqual({
      appId: mine.appId,
      appName: "application of mine",
      timestamp: "2021-02-03T04:05:06.789012+00:00",
      metricName: "exact",
      value: 0.1,
      unit: null,
      tags: {},
      metricId: expect.stringMatching(/^[\da-f-]{36}$/),
    });
    expect(new Set(rows.map((row) => row.appId))).toEqual(new Set([mine.appId]));
  });

  test("come as CSV that quotes what needs it", async () => {
    await samples(mine.appId, 1, 'a "quoted" name');
    const url = `/export/metrics.csv?${span}&appId=${mine.appId}`;
    const text = await (await as.auditor.fetch(url)).text();
    expect(text.split("\r\n")[0]).toBe(
      "appId,appName,timestamp,metricName,value,unit,tags,metricId",
    );
    expect(text).toMatch(/,"a ""quoted"" name",1\.5,ops,"\{""a"":""b,c""\}",[\da-f-]{36}\r\n/);
  });

  test("end with a trailer that tells a whole answer from one cut short", async () => {
    const { accessToken } = await api.signIn("ops_admin@mine.example");
    const [rows, trailers] = await whole(api, accessToken, `/export/metrics.ndjson?${span}`);
    expect(rows.length).toBeGreaterThan(0);
    expect(trailers).toEqual({ "x-exported-rows": String(rows.length), "x-truncated": "false" });
  });

  test("of another tenant's application are refused like those of none", async () => {
    for (const appId of [theirs.appId, crypto.randomUUID()]) {
      const response = await as.tenant_admin.fetch(`/export/metrics.csv?${span}&appId=${appId}`);
      expect(response.status).toBe(404);
      const { errors } = (await response.json()) as { errors: { message: string }[] };
      expect(errors[0]?.message).toBe("unknown application");
    }
  });
});

describe("audit rows", () => {
  test("are of the own tenant alone, and the export is one of them", async () => {
    const read = async () => rowsOf(await as.auditor.fetch(`/export/audit.ndjson?${span}`));
    await read();
    const rows = await read();
    expect(new Set(rows.map((row) => row.tenantId))).toEqual(new Set([mine.tenantId]));
    expect(rows.filter((row) => row.action === "EXPORT").at(-1)).toMatchObject({
      entityType: "AUDIT",
      userId: mine.users.auditor,
      ipAddress: "127.0.0.1",
      newValues: { since: "2020-01-01T00:00:00+00:00" },
    });
  });

  test("cannot make a spreadsheet run what a client called itself", async () => {
    await api.nobody.fetch("/graphql", {
      method: "POST",
      headers: { "content-type": "application/json", "user-agent": "=cmd|' /C calc'!A0" },
      body: JSON.stringify({
        query: `mutation { login(input: { tenant: "mine", email: "auditor@mine.example", password: "no" }) {
          accessToken
        } }`,
      }),
    });
    const text = await (await as.auditor.fetch(`/export/audit.csv?${span}`)).text();
    expect(text).toContain(",'=cmd|' /C calc'!A0,");
    expect(text).not.toContain(",=cmd");
  });
});

test.each([
  ["/export/metrics.csv", 400, "export has no span of time"],
  ["/export/metrics.csv?since=yesterday&until=today", 400, "export has no span of time"],
  [`/export/metrics.csv?${span}&appId=1`, 400, "invalid appId"],
  ["/export/metrics.csv?since=2100-01-01T00:00:00Z&until=2000-01-01T00:00:00Z", 422, undefined],
  [`/export/metrics.csv?${span}&after=1`, 400, "invalid after"],
  [`/export/audit.csv?${span}&after=2020-01-01T00:00:00Z,1`, 400, "invalid after"],
  [`/export/users.csv?${span}`, 404, "not found"],
  [`/export/metrics.xlsx?${span}`, 404, "not found"],
])("%s answers %i", async (url, status, message) => {
  const response = await as.auditor.fetch(url);
  expect(response.status).toBe(status);
  const { errors } = (await response.json()) as { errors: { message: string }[] };
  expect(errors[0]?.message).toBe(message ?? "span of time is empty or too long");
});

const untilNobodyExports = () =>
  eventually(async () => {
    const [row] = await database.sql`
      select count(*)::integer as busy from pg_stat_activity
      where datname = current_database() and application_name = 'storage-qos-export'
        and state <> 'idle'
    `;
    expect(row?.busy).toBe(0);
  });

test("a reader that goes away frees its connection", async () => {
  await samples(mine.appId, 4_000, "many", long);
  await database.sql`select pg_stat_clear_snapshot()`;
  const controller = new AbortController();
  const response = await as.ops_admin.fetch(`/export/metrics.ndjson?${span}`, {
    signal: controller.signal,
  });
  await response.body?.getReader().read();
  controller.abort();
  await untilNobodyExports();
});

describe("a reader that stalls", () => {
  beforeAll(() => samples(mine.appId, 6_000, "more than buffers take", long));
  const url = `/export/metrics.ndjson?${span}`;

  async function stalling(env: NodeJS.ProcessEnv = {}) {
    const server = await serveApi(database, env);
    const { accessToken } = await server.signIn("ops_admin@mine.example");
    return begun(server, accessToken, url);
  }

  async function expectCutShort(response: IncomingMessage) {
    response.resume();
    await expect(once(response, "end")).rejects.toThrow("aborted");
  }

  /** When nothing more is read for it, because its buffers are full: then nothing is held. */
  const untilItWaits = () =>
    eventually(async () => {
      const reads = () => database.sql<{ at: string | null; holding: number }[]>`
        select
          max(a.query_start)::text as at,
          count(*) filter (
            where a.state <> 'idle' or a.backend_xmin is not null or a.backend_xid is not null
              or a.xact_start is not null
          )::integer as holding
        from pg_stat_activity as a
        where a.datname = current_database() and a.application_name = 'storage-qos-export'
      `;
      const [before] = await reads();
      await setTimeout(200);
      const after = await reads();
      expect(after).toEqual([{ at: before?.at, holding: 0 }]);
      expect(before?.at).not.toBeNull();
    });

  test("holds no snapshot and no transaction, and has each row once, whatever comes or goes", async () => {
    const [before] = await database.sql<{ ids: string[] }[]>`
      select array_agg(m.metric_id order by m."timestamp", m.metric_id) as ids
      from rate_limiter.metrics as m
      where m.app_id = ${mine.appId}
    `;
    const ids = before?.ids ?? [];
    const response = await stalling();
    await untilItWaits();
    const [cluster] = await database.sql`
      insert into rate_limiter.clusters (name, region) values ('another', 'north') returning cluster_id as id
    `;
    await asUser(
      database,
      mine.users.system_admin,
      (caller) =>
        caller`select from rate_limiter_admin.move_application(${mine.appId}, ${cluster?.id})`,
    );
    // The last of the span has gone, and one has come, before they were read: only a page is held.
    const gone = ids.at(-1);
    await database.sql`
      delete from rate_limiter.metrics where app_id = ${mine.appId} and metric_id = ${gone ?? ""}
    `;
    await samples(mine.appId, 1, "came meanwhile");
    const rows = await restOf(response);
    const names = rows.map((row) => row.metricName);
    expect(names.filter((name) => name === "came meanwhile")).toHaveLength(1);
    const old = rows.filter((row) => row.metricName !== "came meanwhile");
    expect(old.map((row) => row.metricId)).toEqual(ids.slice(0, -1));
    expect(response.trailers).toMatchObject({ "x-exported-rows": String(rows.length) });
  });

  test("reads no further than its rights last", async () => {
    const response = await stalling();
    await untilItWaits();
    const revoked = await database.sql`
      delete from rate_limiter.user_roles where user_id = ${mine.users.ops_admin} returning role_id
    `;
    await expectCutShort(response);
    for (const { role_id } of revoked) {
      await database.sql`
        insert into rate_limiter.user_roles (user_id, role_id)
        values (${mine.users.ops_admin}, ${role_id})
      `;
    }
  });

  test("is cut off when its time is over", async () => {
    const server = await serveApi(database, { API_EXPORT_TIMEOUT_MS: "5000" });
    const { accessToken } = await server.signIn("ops_admin@mine.example");
    const stalled = [await begun(server, accessToken, url), await begun(server, accessToken, url)];
    const another = (await server.signIn("auditor@mine.example")).accessToken;
    // Refused until the places of the two are free again.
    await eventually(async () => {
      const response = await begun(server, another, url);
      response.destroy();
      expect(response.statusCode).toBe(200);
    });
    for (const response of stalled) await expectCutShort(response);
  });

  test("leaves places to other tenants, and has its own tenant refused at once", async () => {
    const server = await serveApi(database);
    const stall = async (email: string) =>
      begun(server, (await server.signIn(email)).accessToken, url);
    const stalled = [
      await stall("ops_admin@mine.example"),
      await stall("tenant_admin@mine.example"),
    ];
    const auditor = await server.signIn("auditor@mine.example");
    for (let attempt = 0; attempt < 5; attempt++) {
      const refused = await auditor.fetch(url);
      expect(refused.status).toBe(429);
      expect((await refused.json()) as unknown).toEqual({
        errors: [
          {
            message: "too many exports",
            extensions: {
              ...{ code: "QS429", retryAfterMs: 1_000 },
              hint: expect.stringContaining("2 run at once"),
            },
          },
        ],
      });
    }
    const other = await server.signIn("tenant_admin@theirs.example");
    const theirRows = await rowsOf(await other.fetch(url));
    expect(theirRows.map((row) => row.appId)).toContain(theirs.appId);
    for (const response of stalled) response.destroy();
    await eventually(async () => {
      const response = await auditor.fetch(url);
      expect(response.status).toBe(200);
      await response.body?.cancel();
    });
    await untilNobodyExports();
  });

  test("is cut off where the database is lost in a page, and the server lives on", async () => {
    const response = await stalling();
    await untilItWaits();
    const holder = await database.session("holder", "rate_limiter_owner");
    await holder.sql`begin`;
    await holder.sql`lock table rate_limiter.metrics in access exclusive mode`;
    const cut = expectCutShort(response);
    await eventually(async () => {
      const ended = await database.sql`
        select pg_terminate_backend(a.pid) from pg_stat_activity as a
        where a.datname = current_database() and a.application_name = 'storage-qos-export'
          and a.wait_event_type = 'Lock'
      `;
      expect(ended).toHaveLength(1);
    });
    await holder.sql`rollback`;
    await cut;
    expect((await as.auditor.fetch(`/export/audit.csv?${span}`)).status).toBe(200);
  });
});
