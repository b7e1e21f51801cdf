import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { addQuota, type ClientWorld, charged, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { counter, type GatewayWorld, startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

if (missing !== undefined) console.warn(`gateway tests are skipped: ${missing}`);

describe.skipIf(missing !== undefined)("the gateway", async () => {
  const database = await createDatabase();
  const { nginx, storage }: GatewayWorld =
    missing === undefined
      ? // The database does answer, however slow the machine is.
        await startGateway(database, {
          QOS_DATABASE_TIMEOUT_MS: "20000",
          QOS_PACE_DOWNLOADS: "off",
        })
      : (undefined as never);
  let world: ClientWorld;

  beforeEach(async () => {
    world = await makeWorld(database);
  });

  const get = (path: string, init: RequestInit = {}, key = world.apiKey) =>
    fetch(nginx.url + path, { ...init, headers: { "X-API-Key": key, ...init.headers } });

  async function tokens(operation = "head"): Promise<number> {
    const [row] = await database.as("rate_limiter_app")`
      select remaining::float8 + cost::float8 as tokens
      from rate_limiter.check_limit(${world.appId}, ${operation})
    `;
    return row?.tokens;
  }

  async function bytesInBucket(): Promise<number> {
    const [row] = await database.as("rate_limiter_app")`
      select remaining_bytes::float8 as bytes from rate_limiter.check_limit(${world.appId}, 'head')
    `;
    return row?.bytes;
  }

  /** Waits until what is leased has gone back, and answers what the bucket then holds. */
  async function bytesAtRest(): Promise<number> {
    await vi.waitFor(
      async () => {
        const open = await database.sql`
          select from rate_limiter.token_leases
          where app_id = ${world.appId} and settled_at is null
        `;
        expect(open).toHaveLength(0);
      },
      { timeout: 30_000, interval: 100 },
    );
    return bytesInBucket();
  }

  describe("admits", () => {
    test("a request within its quota, and passes it on without the key", async () => {
      await addQuota(database, world, { iops: { limit: 100, burst: 200, seconds: 2 } });
      const response = await get("/bucket/object");
      expect(response.status).toBe(200);
      expect(await response.text()).toBe("ok");
      const seen = storage.requests.at(-1);
      expect(seen?.url).toBe("/bucket/object");
      expect(seen?.headers["x-api-key"]).toBeUndefined();
    });

    test("with the fields of the draft: names, quota, window, unit, remaining", async () => {
      await addQuota(database, world, {
        iops: { limit: 100, burst: 200, seconds: 2 },
        bytesPerSecond: 1_000_000,
      });
      const response = await get("/bucket/object");
      expect(response.headers.get("RateLimit-Policy")).toBe(
        '"iops_l2";q=200;w=2;qu="requests", "bandwidth_l2";q=1000000;w=1;qu="content-bytes"',
      );
      expect(response.headers.get("RateLimit")).toMatch(/^"iops_l2";r=\d+, "bandwidth_l2";r=\d+$/);
    });

    test("with numbers that are none of a structured field's as the largest of those", async () => {
      await addQuota(database, world, {
        iops: { limit: 100, method: "leaky_bucket" },
        bytesPerSecond: 4_000_000_000_000_000,
      });
      const { headers } = await get("/bucket/object");
      expect(headers.get("RateLimit-Policy")).toContain('"bandwidth_l2";q=999999999999999;');
      expect(headers.get("RateLimit")).toContain('"bandwidth_l2";r=999999999999999');
    });

    test("everything where no quota limits, without a word of one", async () => {
      const responses = await Promise.all(Array.from({ length: 20 }, () => get("/b/o")));
      expect(responses.map((response) => response.status)).toEqual(Array(20).fill(200));
      expect(responses[0]?.headers.get("RateLimit-Policy")).toBeNull();
    });

    test("many at once, in all workers, out of few leases that they share", async () => {
      await addQuota(database, world, { iops: { limit: 10_000 } });
      const leases = async () =>
        (await database.sql`select from rate_limiter.token_leases where app_id = ${world.appId}`)
          .length;
      // On a busy machine others may be faster at every lease that one of them fetches: it asks then.
      await eventually(async () => {
        const direct = await counter(nginx, /^qos_database_calls_total\{call="consume"\}/);
        const leasesBefore = await leases();
        const heads = Array.from({ length: 200 }, () => get("/b/o", { method: "HEAD" }));
        const statuses = (await Promise.all(heads)).map((response) => response.status);
        expect(new Set(statuses)).toEqual(new Set([200]));
        expect((await leases()) - leasesBefore).toBeLessThanOrEqual(8);
        expect(await counter(nginx, /^qos_database_calls_total\{call="consume"\}/)).toBe(direct);
      });
    });

    test("an S3 signature's access key id as the key", async () => {
      const scope = `${world.apiKey}/20260101/us-east-1/s3/aws4_request`;
      const header = {
        Authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=0`,
      };
      expect((await fetch(`${nginx.url}/b/o`, { headers: header })).status).toBe(200);
      const query = `X-Amz-Credential=${encodeURIComponent(scope)}`;
      expect((await fetch(`${nginx.url}/b/o?${query}`)).status).toBe(200);
      expect((await fetch(`${nginx.url}/b/o?AWSAccessKeyId=${world.apiKey}`)).status).toBe(200);
      const old = { Authorization: `AWS ${world.apiKey}:c2ln` };
      expect((await fetch(`${nginx.url}/b/o`, { headers: old })).status).toBe(200);
    });
  });

  describe("charges", () => {
    test.each([
      ["GET", "/bucket/", 3],
      ["GET", "/bucket?list-type=2", 3],
      ["GET", "/bucket/object", 1],
      ["HEAD", "/bucket/object", 1],
      ["DELETE", "/bucket/object", 5],
      ["PUT", "/bucket/object", 2],
      ["POST", "/bucket?delete", 5],
    ])("%s %s", async (method, path, cost) => {
      await addQuota(database, world, { iops: { limit: 1, burst: 10_000 } });
      await get(path, { method, ...(method === "PUT" ? { body: "x" } : {}) });
      await bytesAtRest();
      const [row] = await database.sql`
        select sum(coalesce(spent_tokens, 0))::float8 as spent
        from rate_limiter.token_leases where app_id = ${world.appId}
      `;
      expect(row?.spent).toBeGreaterThanOrEqual(cost);
      expect(row?.spent).toBeLessThan(cost + 0.1);
    });

    test("a download by the bytes that were really sent", async () => {
      await addQuota(database, world, { bytesPerSecond: 1_000_000_000 });
      await database.sql`
        update rate_limiter.bandwidth_quotas set refill_rate_bps = 1, bandwidth_limit_bps = 1
        where config_id in (
          select config_id from rate_limiter.quota_configs where app_id = ${world.appId}
        )
      `;
      const before = await bytesInBucket();
      for (const size of [10, 300_000, 0]) {
        expect((await (await get(`/bytes/${size}`)).arrayBuffer()).byteLength).toBe(size);
      }
      const after = await bytesAtRest();
      expect(before - after).toBeGreaterThan(300_010 - 20);
      expect(before - after).toBeLessThanOrEqual(300_010);
    });

    test.each(["/b/bytes/300000?prefix", "/b/bytes/300000?list-type=2"])(
      "a download by its bytes, whatever its address looks like: %s",
      async (path) => {
        await addQuota(database, world, { bytesPerSecond: 1_000_000_000 });
        await slowRefill();
        const before = await bytesInBucket();
        expect((await (await get(path)).arrayBuffer()).byteLength).toBe(300_000);
        expect(before - (await bytesAtRest())).toBeGreaterThan(299_980);
      },
    );

    test("a download that costs more than doubles multiply", async () => {
      await addQuota(database, world, { iops: { limit: 1, burst: 1_000_000_000 } });
      await database.sql`
        insert into rate_limiter.cost_rules (app_id, operation_id, c_bw_override)
        select ${world.appId}, operation_id, 9999.9999
        from rate_limiter.operation_types where name like 'read%'
      `;
      await (await get("/bytes/5000000")).arrayBuffer();
      // What it took beyond its lease is charged, though the application does not come back.
      await eventually(async () => {
        // 5 + 5000000 / 1048576 * 9999.9999
        expect(Number((await charged(database, world)).tokens)).toBeGreaterThan(47_680);
      });
    });

    test("a download beyond its bucket as a debt of the bucket, which every gateway sees", async () => {
      await addQuota(database, world, { bytesPerSecond: 100_000 });
      await (await get("/bytes/6000000")).arrayBuffer();
      await eventually(async () => expect(await bytesInBucket()).toBeLessThan(-5_000_000));
      const denied = await get("/bytes/10");
      expect(denied.status).toBe(429);
      const seconds = Number(denied.headers.get("Retry-After"));
      expect(seconds).toBeGreaterThan(30);
      expect(seconds).toBeLessThanOrEqual(60);
      expect(denied.headers.get("RateLimit")).toBe(`"bandwidth_l2";r=0;t=${seconds}`);
      // Nothing else is owed: who forgives the bucket lets the application go on.
      const debt = -Math.floor(await bytesInBucket());
      await database.sql`
        select rate_limiter_internal.adjust_tokens_at(
          clock_timestamp(), ${world.appId}, 'bandwidth_l2', ${debt}, 'forgiven'
        )
      `;
      await eventually(async () => expect((await get("/bytes/10")).status).toBe(200));
      expect(await bytesAtRest()).toBeGreaterThan(0);
    });

    test.each([
      ["GET", { "Content-Length": "100000" }],
      ["HEAD", { "Content-Length": "100000" }],
      ["DELETE", { "Transfer-Encoding": "chunked" }],
      ["PROPFIND", { "Content-Length": "100000" }],
    ])("a body by its bytes, whatever the method: %s", async (method, framing) => {
      await addQuota(database, world, { bytesPerSecond: 1_000_000_000 });
      await slowRefill();
      const before = await bytesInBucket();
      const asking = request(`${nginx.url}/b/o`, {
        method,
        headers: { "X-API-Key": world.apiKey, ...framing },
      });
      asking.end("x".repeat(100_000));
      const [response] = await once(asking, "response");
      response.resume();
      expect(storage.requests.at(-1)).toMatchObject({ method, bytes: 100_000 });
      const charged = before - (await bytesAtRest());
      expect(charged).toBeGreaterThanOrEqual(99_900);
      expect(charged).toBeLessThan(100_100);
    });

    test("a chunked upload of unknown size by the bytes that came", async () => {
      await addQuota(database, world, { bytesPerSecond: 1_000_000_000 });
      await slowRefill();
      const before = await bytesInBucket();
      const upload = request(`${nginx.url}/b/o`, {
        method: "PUT",
        headers: { "X-API-Key": world.apiKey, "Transfer-Encoding": "chunked" },
      });
      for (let i = 0; i < 3; i += 1) upload.write("x".repeat(50_000));
      upload.end();
      const [response] = await once(upload, "response");
      response.resume();
      expect(response.statusCode).toBe(200);
      expect(storage.requests.at(-1)?.bytes).toBe(150_000);
      const charged = before - (await bytesAtRest());
      // The framing of the chunks counts: it came over the wire as well.
      expect(charged).toBeGreaterThanOrEqual(149_900);
      expect(charged).toBeLessThan(150_100);
    });

    test("an upload that its client gives up by the bytes that came", async () => {
      await addQuota(database, world, { bytesPerSecond: 1_000_000_000 });
      await slowRefill();
      const before = await bytesInBucket();
      const socket = connect(nginx.port, "127.0.0.1");
      await once(socket, "connect");
      socket.write(
        `PUT /b/o HTTP/1.1\r\nHost: h\r\nX-API-Key: ${world.apiKey}\r\nContent-Length: 5000000\r\n\r\n`,
      );
      socket.write("x".repeat(20_000));
      await eventually(() => expect(storage.requests.at(-1)?.bytes).toBe(20_000));
      socket.destroy();
      const charged = before - (await bytesAtRest());
      expect(charged).toBeGreaterThanOrEqual(19_900);
      expect(charged).toBeLessThan(20_100);
    });
  });

  async function slowRefill(): Promise<void> {
    await database.sql`
      update rate_limiter.bandwidth_quotas set refill_rate_bps = 1, bandwidth_limit_bps = 1
      where config_id in (
        select config_id from rate_limiter.quota_configs where app_id = ${world.appId}
      )
    `;
  }

  describe("denies", () => {
    test("with 403 an application that needs a quota and has none, HEAD and S3 alike", async () => {
      await database.sql`
        update rate_limiter.app_facts set needs_iops_quota = true where app_id = ${world.appId}
      `;
      const denied = await get("/b/o", { method: "DELETE" });
      expect(denied.status).toBe(403);
      expect(denied.headers.has("Retry-After")).toBe(false);
      expect(await denied.json()).toMatchObject({
        reason: "no_quota",
        title: "the application has no quota",
        layer: null,
        retry_after_ms: null,
      });
      expect((await get("/b/o", { method: "HEAD" })).status).toBe(403);
      await addQuota(database, world, { iops: { limit: 100 } });
      await eventually(async () => expect((await get("/b/o")).status).toBe(200));
    });

    test("with 429, Retry-After, the layer and the reason", async () => {
      await addQuota(database, world, { iops: { limit: 10 } });
      const responses = [];
      for (let i = 0; i < 12; i += 1) responses.push(await get("/b/o", { method: "DELETE" }));
      const denied = responses.find((response) => response.status === 429);
      expect(denied?.headers.get("Content-Type")).toBe("application/problem+json");
      expect(denied?.headers.get("Retry-After")).toBe("1");
      expect(denied?.headers.get("RateLimit")).toMatch(/"iops_l2";r=\d;t=1/);
      const problem = (await denied?.json()) as Record<string, unknown>;
      expect(problem).toMatchObject({
        status: 429,
        title: "too many requests",
        reason: "iops_l2",
        layer: 2,
      });
      expect(problem.retry_after_ms).toBeGreaterThan(0);
    });

    test("a denied request never reaches the storage", async () => {
      await addQuota(database, world, { iops: { limit: 3 } });
      const path = `/b/${world.appId}`;
      const responses = await Promise.all(
        Array.from({ length: 30 }, () => get(path, { method: "HEAD" })),
      );
      const admitted = responses.filter((response) => response.status === 200).length;
      expect(admitted).toBeGreaterThan(0);
      expect(admitted).toBeLessThan(8);
      expect(storage.requests.filter((seen) => seen.url === path)).toHaveLength(admitted);
    });

    test("many at once beyond the quota with 429, and nothing else", async () => {
      await addQuota(database, world, { iops: { limit: 10 } });
      const heads = Array.from({ length: 200 }, () => get("/b/o", { method: "HEAD" }));
      const statuses = (await Promise.all(heads)).map((response) => response.status);
      expect(new Set(statuses)).toEqual(new Set([200, 429]));
    });

    test("names layer 1 where the cluster is short", async () => {
      await addQuota(database, { clusterId: world.clusterId }, { iops: { limit: 5 } });
      await get("/b/o", { method: "DELETE" });
      const denied = await get("/b/o", { method: "DELETE" });
      expect(await denied.json()).toMatchObject({ reason: "iops_l1", layer: 1 });
    });

    test("what can never fit, and gives no time to come back", async () => {
      await addQuota(database, world, { bytesPerSecond: 1_000, oversize: false });
      const denied = await get("/b/o", { method: "PUT", body: "x".repeat(2_000) });
      expect(denied.status).toBe(413);
      expect(denied.headers.get("Retry-After")).toBeNull();
      expect(await denied.json()).toMatchObject({
        reason: "exceeds_capacity",
        retry_after_ms: null,
      });
    });
  });

  describe("a leaky bucket and a shadow quota", () => {
    test("a leaky bucket holds requests back, without blocking others", async () => {
      await addQuota(database, world, { iops: { limit: 5, method: "leaky_bucket" } });
      const other = await makeWorld(database);
      await get("/b/o", {}, other.apiKey);
      const since = performance.now();
      const held = [1, 2, 3].map(async () => {
        await get("/b/o", { method: "HEAD" });
        return performance.now() - since;
      });
      await get("/b/o", {}, other.apiKey);
      const otherTook = performance.now() - since;
      const took = (await Promise.all(held)).sort((a, b) => a - b);
      expect(took[2]).toBeGreaterThan(380);
      expect(otherTook).toBeLessThan((took[2] ?? 0) - 50);
    });

    test("a shadow quota shows in a header and in the metrics only", async () => {
      await addQuota(database, world, { iops: { limit: 1 }, mode: "shadow" });
      const before = await counter(nginx, /^qos_shadow_total/);
      const responses = [];
      for (let i = 0; i < 3; i += 1) responses.push(await get("/b/o", { method: "HEAD" }));
      expect(responses.map((response) => response.status)).toEqual([200, 200, 200]);
      expect(responses.at(-1)?.headers.get("X-RateLimit-Shadow")).toBe("iops_l2");
      expect(responses.at(-1)?.headers.get("RateLimit-Policy")).toBeNull();
      await vi.waitFor(
        async () => expect(await counter(nginx, /^qos_shadow_total/)).toBeGreaterThan(before),
        30_000,
      );
    });

    test("a download that the database decided on is settled there", async () => {
      await addQuota(database, world, {
        iops: { limit: 1_000, method: "leaky_bucket" },
        bytesPerSecond: 1_000_000,
      });
      await (await get("/bytes/12345")).arrayBuffer();
      await vi.waitFor(async () => {
        const [row] = await database.sql`
          select size_bytes::int as size, settled_at is not null as settled
          from rate_limiter.charges where app_id = ${world.appId}
        `;
        expect(row).toEqual({ size: 12_345, settled: true });
      }, 30_000);
    });
  });

  describe("refuses", () => {
    test("a request without a key", async () => {
      const response = await fetch(`${nginx.url}/b/o`);
      expect(response.status).toBe(401);
      expect(response.headers.get("WWW-Authenticate")).toBe('ApiKey realm="storage"');
      expect(await response.json()).toMatchObject({ status: 401, title: "no api key" });
    });

    test("an unknown key, a revoked one and an expired one", async () => {
      expect(await (await get("/b/o", {}, "qos_unknown")).json()).toMatchObject({
        status: 401,
        title: "unknown api key",
      });
      await database.sql`
        update rate_limiter_private.api_keys set revoked_at = clock_timestamp()
        where app_id = ${world.appId}
      `;
      expect(await (await get("/b/o")).json()).toMatchObject({ title: "api key is revoked" });
      const other = await makeWorld(database);
      await database.sql`
        update rate_limiter_private.api_keys
        set created_at = now() - interval '1 hour', expires_at = now() - interval '1 minute'
        where app_id = ${other.appId}
      `;
      expect(await (await get("/b/o", {}, other.apiKey)).json()).toMatchObject({
        title: "api key has expired",
      });
    });

    test("the key of an inactive tenant or application", async () => {
      await database.sql`
        update rate_limiter.tenants set is_active = false where tenant_id = ${world.tenantId}
      `;
      const response = await get("/b/o");
      expect(response.status).toBe(403);
      expect(await response.json()).toMatchObject({ title: "tenant is inactive" });
    });

    test("a key that is none, without asking the database", async () => {
      for (const key of ["a b", "x".repeat(300), "<script>", "'; drop table"]) {
        const response = await get("/b/o", {}, key);
        expect(response.status).toBe(401);
        expect(await response.text()).not.toContain("script");
      }
    });

    test("two keys", async () => {
      const [status] = await raw(
        `GET /b/o HTTP/1.1\r\nHost: h\r\nX-API-Key: ${world.apiKey}\r\nX-API-Key: other\r\nConnection: close\r\n\r\n`,
      );
      expect(status).toContain("400");
    });

    test("a revoked key soon, though it was good before", async () => {
      expect((await get("/b/o")).status).toBe(200);
      await database.sql`
        update rate_limiter_private.api_keys set revoked_at = clock_timestamp()
        where app_id = ${world.appId}
      `;
      await eventually(async () => expect((await get("/b/o")).status).toBe(401));
    });
  });

  describe("is not fooled by bad input:", () => {
    test("a header that would inject another one is not passed on", async () => {
      const [status, headers] = await raw(
        `GET /b/o HTTP/1.1\r\nHost: h\r\nX-API-Key: a%0d%0aX-Evil: 1\r\nConnection: close\r\n\r\n`,
      );
      expect(status).toContain("401");
      expect(headers).not.toContain("X-Evil");
    });

    test.each([
      ["99999999999999999999999", "400"],
      ["-1", "400"],
      ["12abc", "400"],
      ["9007199254740993", "413"],
    ])("Content-Length: %s is answered with %s", async (length, expected) => {
      await addQuota(database, world, { iops: { limit: 100 }, bytesPerSecond: 1_000 });
      const [status] = await raw(
        `PUT /b/o HTTP/1.1\r\nHost: h\r\nX-API-Key: ${world.apiKey}\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n`,
      );
      expect(status).toContain(expected);
      expect(await tokens()).toBeCloseTo(100, 0);
    });

    test("an odd Range is an estimate", async () => {
      for (const range of ["bytes=5-1", "bytes=-5", "bytes=0-99999999999999999999", "x"]) {
        expect((await get("/b/o", { headers: { Range: range } })).status).toBe(200);
      }
    });
  });

  async function raw(text: string): Promise<[status: string, all: string]> {
    const socket = connect(nginx.port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    socket.write(text);
    let all = "";
    socket.on("data", (data) => {
      all += data.toString();
    });
    await once(socket, "end");
    return [all.split("\r\n")[0] ?? "", all];
  }

  test("is healthy, and says whether the database is", async () => {
    const response = await fetch(`${nginx.adminUrl}/healthz`);
    expect(await response.json()).toEqual({ status: "ok", database: "up" });
    expect((await fetch(`${nginx.adminUrl}/secret`)).status).toBe(404);
  });

  test("counts for Prometheus", async () => {
    await get("/b/o");
    await vi.waitFor(async () => {
      const allowed = /^qos_requests_total\{decision="allowed",reason="none"\}/;
      expect(await counter(nginx, allowed)).toBeGreaterThan(0);
      expect(await counter(nginx, /^qos_database_up/)).toBe(1);
    }, 30_000);
  });

  test("logs no error in all this", () => {
    expect(
      nginx
        .log()
        .split("\n")
        .filter((line) => /\[(error|crit|alert|emerg)\].*qos|lua/.test(line)),
    ).toEqual([]);
  });
});
