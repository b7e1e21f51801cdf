import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { addQuota, type ClientWorld, charged, makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { counter, startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("a gateway that speaks S3 and refunds errors", async () => {
  const database = await createDatabase();
  const { nginx, storage } =
    missing === undefined
      ? await startGateway(database, {
          QOS_SPEAK_S3: "on",
          QOS_REFUND_5XX: "on",
          QOS_PACE_DOWNLOADS: "off",
          QOS_RATE_LIMIT_FIELDS: "denied",
        })
      : (undefined as never);
  let world: ClientWorld;

  beforeEach(async () => {
    world = await makeWorld(database);
  });

  const signed = (key: string) => ({
    Authorization:
      `AWS4-HMAC-SHA256 Credential=${key}/20260101/us-east-1/s3/aws4_request, ` +
      "SignedHeaders=host, Signature=0",
  });
  const get = (path: string, method = "GET") =>
    fetch(nginx.url + path, { method, headers: signed(world.apiKey) });

  test("answers a denial as S3 does: 503 SlowDown in XML, with fields on denials alone", async () => {
    await addQuota(database, world, { iops: { limit: 5 } });
    const admitted = await get("/b/o", "DELETE");
    expect(admitted.status).toBe(200);
    expect(admitted.headers.get("RateLimit-Policy")).toBeNull();
    expect(admitted.headers.get("RateLimit")).toBeNull();
    const denied = await get("/b/o", "DELETE");
    expect(denied.status).toBe(503);
    expect(denied.headers.get("Content-Type")).toBe("application/xml");
    expect(denied.headers.get("Retry-After")).toBe("1");
    expect(denied.headers.get("RateLimit-Policy")).toBe('"iops_l2";q=5;w=1;qu="requests"');
    expect(denied.headers.get("RateLimit")).toMatch(/^"iops_l2";r=\d;t=1$/);
    expect(await denied.text()).toMatch(
      /^<\?xml version="1.0" encoding="UTF-8"\?>\n<Error><Code>SlowDown<\/Code><Message>Please reduce your request rate.<\/Message><RequestId>[0-9a-f]{32}<\/RequestId><\/Error>$/,
    );
  });

  test.each([
    ["an unknown key", "qos_nobodys", 403, "InvalidAccessKeyId"],
    ["a key that is none", "a$b", 403, "InvalidAccessKeyId"],
  ])("%s", async (_, key, status, code) => {
    const response = await fetch(`${nginx.url}/b/o`, { headers: signed(key) });
    expect(response.status).toBe(status);
    expect(await response.text()).toContain(`<Code>${code}</Code>`);
  });

  test("no key, and an inactive application", async () => {
    const nobody = await fetch(`${nginx.url}/b/o`);
    expect([nobody.status, await nobody.text()]).toEqual([
      403,
      expect.stringContaining("<Code>AccessDenied</Code>"),
    ]);
    await database.sql`
      update rate_limiter.applications set is_active = false where app_id = ${world.appId}
    `;
    const inactive = await get("/b/o");
    expect([inactive.status, await inactive.text()]).toEqual([
      403,
      expect.stringContaining("<Code>AccessDenied</Code>"),
    ]);
  });

  test("what never fits is EntityTooLarge", async () => {
    await addQuota(database, world, { bytesPerSecond: 1_000, oversize: false });
    const denied = await fetch(`${nginx.url}/b/o`, {
      method: "PUT",
      headers: signed(world.apiKey),
      body: "x".repeat(2_000),
    });
    expect(denied.status).toBe(400);
    expect(await denied.text()).toContain("<Code>EntityTooLarge</Code>");
  });

  test("HEAD has no body", async () => {
    const response = await fetch(`${nginx.url}/b/o`, { method: "HEAD" });
    expect([response.status, await response.text()]).toEqual([403, ""]);
  });

  async function spent(): Promise<{ tokens: number; bytes: number; open: number }> {
    const [row] = await database.sql`
      select
        coalesce(sum(spent_tokens), 0)::float8 as tokens,
        coalesce(sum(spent_bytes), 0)::float8 as bytes,
        count(*) filter (where settled_at is null)::int as open,
        count(*)::int as leases
      from rate_limiter.token_leases where app_id = ${world.appId}
    `;
    return row as never;
  }

  /** What all leases cost once they have gone back. */
  async function spentAtRest() {
    await vi.waitFor(
      async () => expect(await spent()).toMatchObject({ open: 0, leases: expect.any(Number) }),
      { timeout: 30_000, interval: 100 },
    );
    return spent();
  }

  const roomy = { iops: { limit: 1_000, burst: 1_000 }, bytesPerSecond: 100_000_000 };

  test("an error of the storage is given back out of the lease, a success and a 404 are not", async () => {
    await addQuota(database, world, roomy);
    const refunds = await counter(nginx, /^qos_refunds_total/);
    expect((await get("/b/status/500")).status).toBe(500);
    expect((await get("/b/status/503")).status).toBe(503);
    expect((await get("/b/status/404", "HEAD")).status).toBe(404);
    expect(await spentAtRest()).toMatchObject({ tokens: 1, bytes: 0 });
    expect(await counter(nginx, /^qos_refunds_total/)).toBe(refunds + 2);
  });

  test("an error is given back where the database decided, too", async () => {
    await addQuota(database, world, { iops: { limit: 100, method: "leaky_bucket" } });
    expect((await get("/b/status/502", "DELETE")).status).toBe(502);
    await vi.waitFor(async () => {
      const [row] = await database.sql`
        select refunded_at is not null as refunded
        from rate_limiter.charges where app_id = ${world.appId}
      `;
      expect(row).toEqual({ refunded: true });
    }, 30_000);
  });

  describe("bytes that were not announced", () => {
    test("a download that its client gives up is charged for what was sent", async () => {
      await addQuota(database, world, roomy);
      const size = 40_000_000;
      const download = request(`${nginx.url}/bytes/${size}`, { headers: signed(world.apiKey) });
      download.end();
      // Nothing of its body is read: most of it stays with the gateway, however fast that is.
      const [response] = await once(download, "response");
      response.destroy();
      await vi.waitFor(async () => {
        const { bytes, open } = await spent();
        expect(open).toBe(0);
        expect(bytes).toBeGreaterThan(0);
      }, 30_000);
      expect((await spent()).bytes).toBeLessThan(size);
    });

    test("a chunked upload that its client gives up, too, though nothing of it is forwarded", async () => {
      await addQuota(database, world, roomy);
      const socket = connect(nginx.port, "127.0.0.1");
      await once(socket, "connect");
      const { Authorization } = signed(world.apiKey);
      const seen = storage.requests.length;
      socket.write(
        `PUT /b/o HTTP/1.1\r\nHost: h\r\nAuthorization: ${Authorization}\r\nTransfer-Encoding: chunked\r\n\r\n`,
      );
      const before = await counter(nginx, /^qos_settled_bytes_total\{direction="up"\}/);
      socket.write(`7530\r\n${"x".repeat(30_000)}\r\n`);
      await sleep(300);
      socket.destroy();
      await vi.waitFor(
        async () =>
          expect(
            await counter(nginx, /^qos_settled_bytes_total\{direction="up"\}/),
          ).toBeGreaterThan(before),
        30_000,
      );
      await vi.waitFor(
        async () =>
          expect(Number((await charged(database, world)).bytes)).toBeGreaterThanOrEqual(29_900),
        30_000,
      );
      expect(storage.requests).toHaveLength(seen);
    });

    test("what a download took beyond its lease is charged, and paid before anything else", async () => {
      await addQuota(database, world, { bytesPerSecond: 200_000 });
      const first = await get("/bytes/700000");
      expect((await first.arrayBuffer()).byteLength).toBe(700_000);
      await vi.waitFor(async () => {
        const denied = await get("/bytes/10");
        expect(denied.status).toBe(503);
        expect(Number(denied.headers.get("Retry-After"))).toBeGreaterThanOrEqual(2);
      }, 30_000);
      await vi.waitFor(
        async () => {
          const response = await get("/bytes/10");
          await response.arrayBuffer();
          expect(response.status).toBe(200);
        },
        { timeout: 30_000, interval: 200 },
      );
      expect(Number((await charged(database, world)).bytes)).toBeGreaterThanOrEqual(700_000);
    });
  });
});
