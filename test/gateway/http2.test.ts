import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type OutgoingHttpHeaders } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { freePort } from "../../src/postgres/free-port.ts";
import { addQuota, type ClientWorld, charged, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";
import { presigned, signed, signedByHand } from "./sign.ts";

describe.skipIf(missing !== undefined)("over HTTP/2", async () => {
  const database = await createDatabase();
  const folder = mkdtempSync(join(tmpdir(), "qos-http2-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const [reader, owner] = [await makeWorld(database), await makeWorld(database)];
  await addQuota(database, owner, { iops: { limit: 10_000 } });
  const verified = { id: "AKIAVERIFIEDHERE0001", secret: "a secret of the gateway" };
  await database.sql`
    select rate_limiter_private.register_access_key(${owner.appId}, ${verified.id})
  `;
  const identities = join(folder, "identities.json");
  writeFileSync(
    identities,
    JSON.stringify({
      secrets: { [verified.id]: verified.secret },
      anonymous: { public: reader.apiKey },
      domain: "s3.example.org",
    }),
  );
  const port = await freePort();
  const { storage } =
    missing === undefined
      ? await startGateway(
          database,
          {
            QOS_FORM_BYTES: "300000",
            QOS_IDENTITIES_FILE: identities,
            QOS_OUTAGE_POLICY: "open",
            QOS_PACE_DOWNLOADS: "off",
          },
          {
            edit: (configuration) =>
              configuration.replace("include listen.conf;", `$& listen 127.0.0.1:${port} http2;`),
          },
        )
      : (undefined as never);
  const url = `http://127.0.0.1:${port}`;
  let world: ClientWorld;
  let id: string;

  beforeEach(async () => {
    world = await makeWorld(database);
    await addQuota(database, world, {
      iops: { limit: 1, burst: 100_000 },
      bytesPerSecond: 1_000_000,
    });
    id = `AKIA${world.appId.replaceAll("-", "").slice(0, 16).toUpperCase()}`;
    await database.sql`select rate_limiter_private.register_access_key(${world.appId}, ${id})`;
  });

  interface Answer {
    readonly status: number;
    readonly code: string;
  }

  /** With a body whose length no header says, unless `headers` do. */
  async function ask(headers: OutgoingHttpHeaders, body?: string): Promise<Answer> {
    const session = connect(url);
    session.on("error", () => {});
    const stream = session.request(
      { ":method": "GET", ":path": "/b/o", "x-amz-date": "20260101T000000Z", ...headers },
      { endStream: body === undefined },
    );
    stream.on("error", () => {});
    if (body !== undefined) stream.end(body);
    const [answer] = await Promise.race([once(stream, "response"), once(session, "close")]);
    const said = await text(stream).catch(() => "");
    session.destroy();
    return { status: answer?.[":status"] ?? 0, code: /<Code>(\w+)</.exec(said)?.[1] ?? "ok" };
  }

  const withKey = (headers: OutgoingHttpHeaders = {}) => ({
    "x-api-key": world.apiKey,
    ...headers,
  });

  async function isRefused(
    headers: OutgoingHttpHeaders,
    status: number,
    code: string | RegExp,
    body?: string,
  ): Promise<void> {
    const before = storage.requests.length;
    const answer = await ask(headers, body);
    expect(answer).toEqual({ status, code: expect.stringMatching(code) });
    expect(storage.requests).toHaveLength(before);
  }

  describe("what can be read in two ways is refused", () => {
    test.each([
      ["POST", "/bucket?#&delete"],
      ["GET", "/b/#/bytes/1000000"],
      ["GET", "/bytes/1000000/.."],
      ["GET", "/b/%2E%2e%2fk"],
      ["GET", "/b//"],
      ["GET", "/b\\k"],
      ["GET", "/b/k?a=%00"],
      ["GET", "/b/k?a=%zz"],
      ["POST", "/b?x;delete"],
    ])("%s %s", (method, path) =>
      isRefused(withKey({ ":method": method, ":path": path }), 400, "InvalidURI"),
    );

    test.each(["http://h/b/o", "*", "b/o", ""])("no path: %j", async (path) => {
      const before = storage.requests.length;
      expect((await ask(withKey({ ":path": path }))).status).not.toBe(200);
      expect(storage.requests).toHaveLength(before);
    });

    test("an Authorization header with another part", () =>
      isRefused(
        {
          authorization:
            `AWS4-HMAC-SHA256 Credential=${id}/20260101/us-east-1/s3/aws4_request, ` +
            "credential=x, SignedHeaders=host, Signature=0",
        },
        400,
        "AuthorizationHeaderMalformed",
      ));

    test("two session tokens", () =>
      isRefused(
        {
          authorization:
            `AWS4-HMAC-SHA256 Credential=${id}/20260101/us-east-1/s3/aws4_request, ` +
            "SignedHeaders=host, Signature=0",
          "x-amz-security-token": ["a", "b"],
        },
        400,
        "InvalidRequest",
      ));

    test("two API keys", () =>
      isRefused({ "x-api-key": [world.apiKey, reader.apiKey] }, 400, "InvalidRequest"));

    test("an authority beside another host", () =>
      isRefused(
        { ":authority": "b.s3.example.org", host: "public.s3.example.org", ":path": "/o" },
        400,
        /./,
      ));
  });

  describe("identities", () => {
    test("a signature is verified, with the authority as its host", async () => {
      const request = await signed(verified, `${url}/b/o`);
      const headers = Object.fromEntries(request.headers);
      expect((await ask({ ...headers, ":authority": new URL(url).host })).status).toBe(200);
      await isRefused({ ...headers, ":authority": "other" }, 403, "SignatureDoesNotMatch");
      await isRefused({ ...headers, ":path": "/b/p" }, 403, "SignatureDoesNotMatch");
    });

    test("cookies that come in pieces are signed as one", async () => {
      const { host } = new URL(url);
      const by = signedByHand(verified, "/b/o\n", host, [["cookie", "a=1; b=2"]]);
      const headers = Object.fromEntries(
        Object.entries(by).map(([name, value]) => [name.toLowerCase(), value]),
      );
      const asked = { ...headers, ":authority": host };
      expect((await ask({ ...asked, cookie: ["a=1", "b=2"] })).status).toBe(200);
      await isRefused({ ...asked, cookie: ["a=1", "b=3"] }, 403, "SignatureDoesNotMatch");
    });

    test("a presigned URL is verified", async () => {
      const { pathname, search, host } = new URL(await presigned(verified, `${url}/b/o`));
      const asked = { ":authority": host, ":path": pathname + search };
      expect((await ask(asked)).status).toBe(200);
      await isRefused({ ...asked, ":path": `/b/p${search}` }, 403, "SignatureDoesNotMatch");
    });

    test("an anonymous bucket is read, by path and by host, and nothing else", async () => {
      expect((await ask({ ":path": "/public/o" })).status).toBe(200);
      const byHost = { ":authority": "public.s3.example.org", ":path": "/o" };
      expect((await ask(byHost)).status).toBe(200);
      await isRefused({ ...byHost, ":authority": "private.s3.example.org" }, 403, "AccessDenied");
      await isRefused({ ":path": "/public/o", ":method": "DELETE" }, 403, "AccessDenied");
    });

    test("an unknown key id is refused", async () => {
      const request = await signed({ id: "AKIAUNKNOWN000000000", secret: "x" }, `${url}/b/o`);
      const headers = Object.fromEntries(request.headers);
      const asked = { ...headers, ":authority": new URL(url).host };
      await isRefused(asked, 403, "InvalidAccessKeyId");
    });
  });

  describe("sizes", () => {
    const size = 100_000;

    test.each([
      ["PUT", "/b/o", size],
      ["DELETE", "/b/o", size],
      ["OPTIONS", "/b/o", size],
    ])("a body of %s without a length is charged", async (method, path, bytes) => {
      const headers = withKey({ ":method": method, ":path": path });
      expect((await ask(headers, "x".repeat(bytes))).status).toBe(200);
      await eventually(async () =>
        expect(Number((await charged(database, world)).bytes)).toBeGreaterThanOrEqual(bytes),
      );
    });

    test("a length that is not that of the body reaches no storage", async () => {
      const before = storage.requests.filter(({ bytes }) => bytes > 10).length;
      const headers = withKey({ ":method": "PUT", "content-length": "10" });
      await ask(headers, "x".repeat(size));
      expect(storage.requests.filter(({ bytes }) => bytes > 10)).toHaveLength(before);
    });

    test("each key of a list without a length costs a delete", async () => {
      const keys = Array.from({ length: 40 }, (_, n) => `<Object><Key>k${n}</Key></Object>`);
      const headers = withKey({ ":method": "POST", ":path": "/b?delete" });
      const { status } = await ask(headers, `<Delete>${keys.join("")}</Delete>`);
      expect(status).toBe(200);
      const one = await database.sql`
        select c_base::float8 as base from rate_limiter.operation_types where name = 'delete'
      `;
      await eventually(async () =>
        expect(Number((await charged(database, world)).tokens)).toBeGreaterThanOrEqual(
          40 * Number(one[0]?.base),
        ),
      );
    });

    test("a form without a length is refused", () =>
      isRefused(
        {
          ":method": "POST",
          ":path": "/b",
          "content-type": "multipart/form-data; boundary=BBB",
        },
        411,
        "MissingContentLength",
        "--BBB--\r\n",
      ));
  });
});
