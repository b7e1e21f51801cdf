import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { freePort } from "../../src/postgres/free-port.ts";
import { addQuota, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { counter, startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("clients of the gateway", async () => {
  const database = await createDatabase();
  const { nginx, storage } =
    missing === undefined
      ? await startGateway(database, { QOS_DATABASE_TIMEOUT_MS: "20000" })
      : (undefined as never);

  test("see what the bucket holds, and no window out of range", async () => {
    const { appId, apiKey } = await makeWorld(database);
    await addQuota(database, { appId }, { iops: { limit: 1, burst: 5_000 } });
    const head = () =>
      fetch(`${nginx.url}/b/o`, { method: "HEAD", headers: { "X-API-Key": apiKey } });
    await head();
    const { headers } = await head();
    const remaining = Number(/"iops_l2";r=(\d+)/.exec(headers.get("RateLimit") ?? "")?.[1]);
    expect(remaining).toBeGreaterThanOrEqual(4_900);
    expect(remaining).toBeLessThanOrEqual(5_000);
    const other = await makeWorld(database);
    await addQuota(database, other, { bytesPerSecond: 1 });
    await database.sql`
      update rate_limiter.bandwidth_quotas set bandwidth_burst_bps = 9000000000000000000
      where config_id in (
        select config_id from rate_limiter.quota_configs where app_id = ${other.appId}
      )
    `;
    const response = await fetch(`${nginx.url}/b/o`, { headers: { "X-API-Key": other.apiKey } });
    const window = /"bandwidth_l2";q=\d+;w=(\d+)/.exec(
      response.headers.get("RateLimit-Policy") ?? "",
    )?.[1];
    expect(Number(window)).toBeLessThanOrEqual(999_999_999_999_999);
  });

  test("get S3's errors where they speak S3, and problem+json else", async () => {
    const signed = {
      Authorization:
        "AWS4-HMAC-SHA256 Credential=qos_nobodys/20260101/us-east-1/s3/aws4_request, " +
        "SignedHeaders=host, Signature=0",
    };
    const s3 = await fetch(`${nginx.url}/b/o`, { headers: signed });
    expect([s3.status, s3.headers.get("Content-Type")]).toEqual([403, "application/xml"]);
    const other = await fetch(`${nginx.url}/b/o`, { headers: { "X-API-Key": "qos_nobodys" } });
    expect([other.status, other.headers.get("Content-Type")]).toEqual([
      401,
      "application/problem+json",
    ]);
    const query = await fetch(
      `${nginx.url}/b/o?X-Amz-Credential=qos_nobodys%2F1&X-Amz-Signature=0`,
    );
    expect(query.headers.get("Content-Type")).toBe("application/xml");
  });

  test("of browsers ask before a request without a key", async () => {
    const seen = storage.requests.length;
    const asking = { Origin: "http://o", "Access-Control-Request-Method": "PUT" };
    expect((await raw("OPTIONS", asking))[0]).toContain("200");
    expect(storage.requests).toHaveLength(seen + 1);
    expect((await raw("OPTIONS", { ...asking, "Content-Length": "5" }))[0]).toContain("401");
    expect((await raw("OPTIONS", {}))[0]).toContain("401");
    expect((await raw("GET", asking))[0]).toContain("401");
  });

  test("of HTTP/1.0 need no Host", async () => {
    const { apiKey } = await makeWorld(database);
    const [status] = await raw("GET", { "X-API-Key": apiKey }, "HTTP/1.0");
    expect(status).toContain("200");
  });

  test("see 503 for an error between the gateway and the database, whatever its code", async () => {
    const { apiKey } = await makeWorld(database);
    const body = "begin raise exception using errcode = 'QS422', message = 'refused'; end;";
    await database.sql`alter function rate_limiter.exchange_leases rename to kept_leases`;
    await database.sql.unsafe(`
      create function rate_limiter.exchange_leases(
        jsonb, jsonb, jsonb, lifetime interval, holder text, waits boolean
      ) returns jsonb language plpgsql as $$ ${body} $$
    `);
    const plain = await fetch(`${nginx.url}/b/o`, { headers: { "X-API-Key": apiKey } });
    const signature =
      `AWS4-HMAC-SHA256 Credential=${apiKey}/20260101/us-east-1/s3/aws4_request, ` +
      "SignedHeaders=host, Signature=0";
    const s3 = await fetch(`${nginx.url}/b/o`, { headers: { Authorization: signature } });
    await database.sql`
      drop function rate_limiter.exchange_leases(jsonb, jsonb, jsonb, interval, text, boolean)
    `;
    await database.sql`alter function rate_limiter.kept_leases rename to exchange_leases`;
    expect([plain.status, plain.headers.get("Retry-After")]).toEqual([503, "1"]);
    expect(await plain.json()).toMatchObject({ reason: "store_unavailable" });
    expect([s3.status, /<Code>(\w+)/.exec(await s3.text())?.[1]]).toEqual([503, "SlowDown"]);
  });

  test("operators see from the start that the database is away", async () => {
    const port = await freePort();
    const away = await startGateway(database, { QOS_DATABASE_PORT: String(port) });
    await eventually(async () => {
      const health = await fetch(`${away.nginx.adminUrl}/healthz`);
      expect(await health.json()).toEqual({ status: "ok", database: "down" });
    });
    expect(await counter(nginx, /^qos_database_up/)).toBe(1);
  });

  async function raw(
    method: string,
    headers: Readonly<Record<string, string>>,
    protocol = "HTTP/1.1",
  ): Promise<string[]> {
    const socket = connect(nginx.port, "127.0.0.1");
    const host = protocol === "HTTP/1.1" ? "Host: h\r\n" : "";
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`${method} /b/o ${protocol}\r\n${host}${lines.join("")}Connection: close\r\n\r\n`);
    let all = "";
    socket.on("data", (data) => {
      all += data.toString();
    });
    await once(socket, "end");
    socket.destroy();
    return all.split("\r\n");
  }
});
