import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../harness/index.ts";
import { serveApi } from "./api.ts";
import { type RoleName, roleNames, serveTwoTenants } from "./world.ts";

const { database, api, as, mine, theirs } = await serveTwoTenants({ API_MAX_EXPORT_ROWS: "2500" });
const span = "since=2020-01-01T00:00:00Z&until=2030-01-01T00:00:00Z";
const exporters: readonly RoleName[] = roleNames.filter((role) => role !== "app_viewer");

async function samples(appId: string, count: number, name = "series") {
  await database.sql`
    insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_name, value, unit, tags)
    select
      rate_limiter_internal.shard_key_of(${appId}), ${appId}, now() - n * interval '1 millisecond', ${name}, n + 0.5, 'ops', '{"a": "b,c"}'
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
    });
    expect(new Set(rows.map((row) => row.appId))).toEqual(new Set([mine.appId]));
    expect(response.headers.get("x-total-rows")).toBe(String(rows.length));
  });

  test("come as CSV that quotes what needs it", async () => {
    await samples(mine.appId, 1, 'a "quoted" name');
    const url = `/export/metrics.csv?${span}&appId=${mine.appId}`;
    const text = await (await as.auditor.fetch(url)).text();
    expect(text.split("\r\n")[0]).toBe("appId,appName,timestamp,metricName,value,unit,tags");
    expect(text).toMatch(/,"a ""quoted"" name",1\.5,ops,"\{""a"":""b,c""\}"\r\n/);
  });

  test("stop at the row limit, and say so", async () => {
    await samples(mine.appId, 3_000);
    const response = await as.app_admin.fetch(`/export/metrics.ndjson?${span}`);
    expect(response.headers.get("x-truncated")).toBe("true");
    expect(response.headers.get("x-total-rows")).toBe("2500");
    expect(await rowsOf(response)).toHaveLength(2500);
  });

  test("end with a trailer that tells a whole answer from one cut short", async () => {
    const { accessToken } = await api.signIn("ops_admin@mine.example");
    const request = get(new URL(`/export/metrics.ndjson?${span}`, api.url), {
      headers: { authorization: `Bearer ${accessToken}` },
    });
    const [response] = await once(request, "response");
    response.resume();
    await once(response, "end");
    expect(response.trailers).toEqual({ "x-exported-rows": "2500" });
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
    expect(rows.filter((row) => row.action === "export").at(-1)).toMatchObject({
      entityType: "audit",
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
  await samples(mine.appId, 50_000, "many");
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
  beforeAll(() => samples(mine.appId, 100_000, "more than buffers take"));

  async function stalling(env: NodeJS.ProcessEnv = {}) {
    const server = await serveApi(database, env);
    const { accessToken } = await server.signIn("ops_admin@mine.example");
    const request = get(new URL(`/export/metrics.ndjson?${span}`, server.url), {
      headers: { authorization: `Bearer ${accessToken}` },
    });
    const [response] = await once(request, "response");
    return response as IncomingMessage;
  }

  async function expectCutShort(response: IncomingMessage) {
    response.resume();
    await expect(once(response, "end")).rejects.toThrow("aborted");
  }

  test("is cut off when its time is over", async () => {
    const response = await stalling({ API_EXPORT_TIMEOUT_MS: "5000" });
    await untilNobodyExports();
    await expectCutShort(response);
  });

  test("leaves connections to other tenants, and has its own tenant refused at once", async () => {
    const server = await serveApi(database);
    const url = `/export/metrics.ndjson?${span}`;
    const stall = async (email: string) => {
      const { accessToken } = await server.signIn(email);
      const request = get(new URL(url, server.url), {
        headers: { authorization: `Bearer ${accessToken}` },
      });
      const [response] = (await once(request, "response")) as [IncomingMessage];
      return response;
    };
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

  test("is cut off with the database, and the server lives on", async () => {
    const response = await stalling();
    await eventually(async () => {
      const ended = await database.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'storage-qos-export'
          and query like 'fetch%' and wait_event = 'ClientRead'
      `;
      expect(ended).toHaveLength(1);
    });
    await expectCutShort(response);
    expect((await as.auditor.fetch(`/export/audit.csv?${span}`)).status).toBe(200);
  });
});
