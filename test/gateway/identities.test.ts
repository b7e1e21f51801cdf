import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import { addQuota, type ClientWorld, charged, makeWorld } from "../client/world.ts";
import { eventually } from "../harness/eventually.ts";
import { createDatabase, type TestDatabase } from "../harness/index.ts";
import { counter, openWay } from "./gateway-world.ts";
import { missing, type Nginx, startNginx } from "./nginx.ts";
import {
  type AccessKey,
  chunked,
  presigned,
  presignedVersion2,
  signed,
  signedByHand,
  signedVersion2,
  uploadForm,
} from "./sign.ts";
import { errorOf, type SigningStore, startSigningStore } from "./signing-store.ts";

let keysMade = 0;
const newKey = (id = `AKIA${String(++keysMade).padStart(16, "0")}`): AccessKey => ({
  id,
  secret: `secret of ${id}`,
});
const wrong = (key: AccessKey): AccessKey => ({ ...key, secret: "not the secret" });

/** All access keys of the store, registered or not. */
const issued = Array.from({ length: 120 }, () => newKey());
const unusual = ["test:tester", "a/b/20260101/c", "a,b", "~"].map((id) => newKey(id));
const takeKey = () => issued.pop() as AccessKey;

const worker = "location = /worker { content_by_lua_block { ngx.print(ngx.worker.pid()) } }";

interface SigningGateway {
  readonly nginx: Nginx;
  readonly store: SigningStore;
}

async function startSigningGateway(
  database: TestDatabase,
  environment: Readonly<Record<string, string>>,
  keys: readonly AccessKey[] = [...issued, ...unusual],
): Promise<SigningGateway> {
  const way = await openWay(database.urlAs("rate_limiter_app"));
  const store = await startSigningStore(keys);
  const nginx = await startNginx({
    upstreamPort: store.port,
    environment: {
      ...way.settings,
      ...{ QOS_SPEAK_S3: "on", QOS_DATABASE_TIMEOUT_MS: "20000" },
      ...environment,
    },
    edit: (text) =>
      text
        .replace("include listen.conf;", "$& set_real_ip_from 127.0.0.1; real_ip_header X-From;")
        .replace("location = /healthz {", `${worker} $&`),
  });
  afterAll(async () => {
    await nginx.stop();
    await store.close();
    await way.close();
  });
  return { nginx, store };
}

async function register({ sql }: TestDatabase, appId: string, key: AccessKey): Promise<AccessKey> {
  await sql`select rate_limiter_private.register_access_key(${appId}, ${key.id})`;
  return key;
}

/** What was spent of leases, once all of them have gone back. */
async function spentAtRest({ sql }: TestDatabase, appId: string): Promise<number> {
  return vi.waitFor(
    async () => {
      const [row] = await sql`
        select
          count(*) filter (where settled_at is null)::int as open,
          count(*)::int as leases,
          coalesce(sum(spent_tokens), 0)::float8 as tokens
        from rate_limiter.token_leases where app_id = ${appId}
      `;
      expect(row?.open).toBe(0);
      expect(row?.leases).toBeGreaterThan(0);
      return row?.tokens;
    },
    { timeout: 20_000, interval: 100 },
  );
}

/** Workers add up what they counted once a second. */
async function countsTo(nginx: Nginx, pattern: RegExp, value: number): Promise<void> {
  await vi.waitFor(async () => expect(await counter(nginx, pattern)).toBe(value), 30_000);
}

async function codeOf(response: Response): Promise<string> {
  const body = await response.text();
  return `${response.status} ${/<Code>(\w+)</.exec(body)?.[1] ?? body}`;
}

/** A request from another address of this machine. */
async function fromAddress(localAddress: string, { url, headers }: Request): Promise<string> {
  const sent = httpRequest(url, { localAddress, headers: Object.fromEntries(headers) });
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return `${response.statusCode} ${/<Code>(\w+)</.exec(await text(response))?.[1] ?? "ok"}`;
}

describe.skipIf(missing !== undefined)("access key ids that the storage issued", async () => {
  const database = await createDatabase();
  const { nginx, store }: SigningGateway =
    missing === undefined
      ? await startSigningGateway(database, {
          QOS_SIGNATURE_FAILURES: "3",
          QOS_SIGNATURE_FAILURE_BYTES: "100000",
          QOS_SIGNATURE_BLOCK_MS: "60000",
          QOS_UNPROVEN_REQUESTS: "4",
          QOS_FORM_BYTES: "10000",
        })
      : (undefined as never);
  const url = `${nginx?.url}/bucket/object`;
  let world: ClientWorld;
  let key: AccessKey;

  beforeEach(async () => {
    world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 1_000, burst: 1_000 } });
    key = await register(database, world.appId, takeKey());
    store.answer(undefined);
  });

  const ask = async (by: AccessKey, init: RequestInit = {}) => fetch(await signed(by, url, init));

  describe("are found, and charged to their application,", () => {
    const ways: Readonly<Record<string, (by: AccessKey) => Promise<Response>>> = {
      "in a header of version 4": (by) => ask(by),
      "in a header with other characters": async (by) =>
        fetch(await signed(by, `${nginx.url}/bucket/a%20b(c)%C3%A4?x=1%202&a=%2F&b`)),
      "in a presigned URL": async (by) => fetch(await presigned(by, url)),
      "in a header of version 2": (by) =>
        fetch(url, { headers: signedVersion2(by, "GET", "/bucket/object") }),
      "in a URL of version 2": (by) => fetch(presignedVersion2(by, url)),
      "in an upload in chunks": async (by) =>
        fetch(url, { method: "PUT", ...(await chunked(by, url, ["one", "two"])) }),
      "in a form": (by) =>
        fetch(`${nginx.url}/bucket`, { method: "POST", body: uploadForm(by, "content") }),
      "in a form of version 2": (by) =>
        fetch(`${nginx.url}/bucket`, {
          method: "POST",
          body: uploadForm(by, "x", { isVersion2: true }),
        }),
    };

    test.each(Object.entries(ways))("%s", async (_, way) => {
      const before = store.verdicts.length;
      expect(await codeOf(await way(key))).toBe("200 ok");
      expect(store.verdicts.slice(before)).toEqual(["signed"]);
      expect(await spentAtRest(database, world.appId)).toBeGreaterThan(0);
    });

    test.each(Object.entries(ways))(
      "and given back where the secret is wrong: %s",
      async (_, way) => {
        expect(await codeOf(await way(wrong(key)))).toBe("403 SignatureDoesNotMatch");
        expect(await spentAtRest(database, world.appId)).toBe(0);
      },
    );

    test.each(unusual)("whatever visible characters they have: $id", async (by) => {
      await register(database, world.appId, by);
      expect(await codeOf(await fetch(await presigned(by, url)))).toBe("200 ok");
      // A comma ends a part of the header.
      const inHeader = by.id.includes(",") ? "400 AuthorizationHeaderMalformed" : "200 ok";
      expect(await codeOf(await ask(by))).toBe(inHeader);
      expect(await codeOf(await fetch(presignedVersion2(by, url)))).toBe("200 ok");
    });
  });

  describe("are not taken for a secret:", () => {
    test("in the header of API keys they open nothing", async () => {
      const before = store.verdicts.length;
      const response = await fetch(url, { headers: { "X-API-Key": key.id } });
      expect(await codeOf(response)).toBe("403 InvalidAccessKeyId");
      expect(store.verdicts).toHaveLength(before);
    });

    test.each<[string, (other: AccessKey) => Promise<RequestInit & { url: string }>]>([
      [
        "a header and a query",
        async (other) => {
          const { headers } = await signed(key, url);
          return { url: await presigned(other, url), headers };
        },
      ],
      [
        "two versions in a query",
        async (other) => ({
          url: `${await presigned(other, url)}&AWSAccessKeyId=${key.id}`,
        }),
      ],
      [
        "two in a query, in other letters",
        async (other) => ({
          url: `${await presigned(other, url)}&x-amz-credential=${key.id}/20260101/r/s3/aws4_request`,
        }),
      ],
      [
        "two behind a hundred arguments",
        async (other) => ({
          url: `${await presigned(other, `${url}?${"a&".repeat(150)}`)}&X-Amz-Credential=${key.id}/20260101/r/s3/aws4_request`,
        }),
      ],
      [
        "an API key and a header",
        async (other) => ({
          url,
          headers: {
            "X-API-Key": world.apiKey,
            ...Object.fromEntries((await signed(other, url)).headers),
          },
        }),
      ],
      [
        "an API key and a query",
        async (other) => ({
          url: await presigned(other, url),
          headers: { "X-API-Key": world.apiKey },
        }),
      ],
      [
        "an API key and a signature that is none",
        async () => ({
          url,
          headers: { "X-API-Key": world.apiKey, Authorization: "AWS4-HMAC-SHA256 x" },
        }),
      ],
      [
        "two in a header",
        async () => ({
          url,
          headers: {
            Authorization: `AWS4-HMAC-SHA256 Credential=${key.id}/20260101/r/s3/aws4_request, Credential=x/20260101/r/s3/aws4_request, SignedHeaders=host, Signature=0`,
          },
        }),
      ],
    ])("a request that names %s is refused", async (_, make) => {
      const other = takeKey();
      const { url: target, ...init } = await make(other);
      const before = store.verdicts.length;
      expect(await codeOf(await fetch(target, init))).toBe("400 InvalidRequest");
      expect(store.verdicts).toHaveLength(before);
    });
  });

  describe("count with what makes a store verify them alone:", () => {
    const without = async (name: string) => {
      const target = new URL(await presigned(key, url));
      target.searchParams.delete(name);
      return { url: target.href };
    };
    const instead = async (name: string, other: string) => ({
      url: (await presigned(key, url)).replace(name, other),
    });
    const authorized = async (change: (text: string) => string) => {
      const { headers } = await signed(key, url);
      headers.set("Authorization", change(headers.get("Authorization") ?? ""));
      return { url, headers };
    };

    test.each<[string, string, () => Promise<RequestInit & { url: string }>]>([
      [
        "an unknown algorithm",
        "400 InvalidRequest",
        () => authorized((text) => text.replace("AWS4-HMAC-SHA256", "AWS4-FOO")),
      ],
      [
        "an unknown algorithm without a dash",
        "400 InvalidRequest",
        () => authorized((text) => text.replace("AWS4-HMAC-SHA256", "AWS4")),
      ],
      [
        "an id of version 2 in other letters",
        "403 InvalidAccessKeyId",
        async () => ({
          url: presignedVersion2(key, url).replace("AWSAccessKeyId", "awsaccesskeyid"),
        }),
      ],
      [
        "an id of version 2 without a signature",
        "403 InvalidAccessKeyId",
        async () => ({ url: `${url}?AWSAccessKeyId=${key.id}` }),
      ],
      [
        "a credential in other letters",
        "403 InvalidAccessKeyId",
        () => instead("X-Amz-Credential", "x-amz-credential"),
      ],
      [
        "an unknown algorithm in a query",
        "403 InvalidAccessKeyId",
        () => instead("AWS4-HMAC-SHA256", "AWS4-FOO"),
      ],
      ["a query without an algorithm", "403 InvalidAccessKeyId", () => without("X-Amz-Algorithm")],
      ["a query without a signature", "403 InvalidAccessKeyId", () => without("X-Amz-Signature")],
      [
        "a form without a policy",
        "403 InvalidAccessKeyId",
        async () => {
          const body = uploadForm(key, "content");
          body.delete("Policy");
          return { url: `${nginx.url}/bucket`, method: "POST", body };
        },
      ],
    ])("%s is refused", async (_, code, make) => {
      const { url: target, ...init } = await make();
      const before = store.verdicts.length;
      expect(await codeOf(await fetch(target, init))).toBe(code);
      expect(store.verdicts).toHaveLength(before);
    });
  });

  test("that are revoked or were never registered do not reach the storage", async () => {
    const before = store.verdicts.length;
    expect(await codeOf(await ask(takeKey()))).toBe("403 InvalidAccessKeyId");
    expect(store.verdicts).toHaveLength(before);
    expect(await codeOf(await ask(key))).toBe("200 ok");
    await database.sql`
      update rate_limiter_private.api_keys set revoked_at = clock_timestamp()
      where key_hash = rate_limiter_internal.token_hash(${key.id})
    `;
    await vi.waitFor(
      async () => expect(await codeOf(await ask(key))).toBe("403 InvalidAccessKeyId"),
      {
        timeout: 30_000,
      },
    );
  });

  test("are given back where the database decided on the request, too", async () => {
    const { appId } = await makeWorld(database);
    await addQuota(database, { appId }, { iops: { limit: 100, method: "leaky_bucket" } });
    const by = await register(database, appId, takeKey());
    expect(await codeOf(await ask(wrong(by)))).toBe("403 SignatureDoesNotMatch");
    await vi.waitFor(async () => {
      const charges = await database.sql`
        select refunded_at is not null as refunded from rate_limiter.charges
        where app_id = ${appId}
      `;
      expect(charges).toEqual([{ refunded: true }]);
    }, 30_000);
  });

  test("are given back all keys of a request that the database decided on", async () => {
    const { appId } = await makeWorld(database);
    await addQuota(database, { appId }, { iops: { limit: 1_000, method: "leaky_bucket" } });
    const by = await register(database, appId, takeKey());
    const body = `<Delete>${"<Object><Key>a</Key></Object>".repeat(10)}</Delete>`;
    const sent = await fetch(
      await signed(wrong(by), `${nginx.url}/bucket?delete`, { method: "POST", body }),
    );
    expect(await codeOf(sent)).toBe("403 SignatureDoesNotMatch");
    await vi.waitFor(async () => {
      const owed = await database.sql`
        select tokens::float8 as tokens from rate_limiter.late_charges where app_id = ${appId}
      `;
      expect(owed).toEqual([{ tokens: 0 }]);
    }, 30_000);
  });

  describe("a source that keeps failing for one", () => {
    test("is refused at the gateway, and no other source, and for no other id", async () => {
      const blocks = await counter(nginx, /^qos_signature_blocks_total/);
      for (let tries = 0; tries < 3; tries += 1) {
        expect(await codeOf(await ask(wrong(key)))).toBe("403 SignatureDoesNotMatch");
      }
      const before = store.verdicts.length;
      const refused = await ask(wrong(key));
      expect(Number(refused.headers.get("Retry-After"))).toBeGreaterThan(50);
      expect(await codeOf(refused)).toBe("403 AccessDenied");
      expect(await codeOf(await ask(key))).toBe("403 AccessDenied");
      expect(store.verdicts).toHaveLength(before);
      expect(await fromAddress("127.0.0.2", await signed(key, url))).toBe("200 ok");
      const other = await register(database, world.appId, takeKey());
      expect(await codeOf(await ask(other))).toBe("200 ok");
      await countsTo(nginx, /^qos_signature_blocks_total/, blocks + 1);
      expect(nginx.log()).toContain(`for access key ${key.id.slice(0, 10)}...`);
      expect(nginx.log()).not.toContain(key.id);
    });

    test("is an IPv6 network: its holder has all of its addresses", async () => {
      const from = async (address: string, by: AccessKey) => {
        const { headers } = await signed(by, url);
        return codeOf(
          await fetch(url, { headers: { ...Object.fromEntries(headers), "X-From": address } }),
        );
      };
      for (const last of ["1", "2", "ffff:1:2"]) {
        expect(await from(`2001:db8:0:1::${last}`, wrong(key))).toBe("403 SignatureDoesNotMatch");
      }
      expect(await from("2001:db8:0:1::9", key)).toBe("403 AccessDenied");
      expect(await from("2001:db8:0:2::9", key)).toBe("200 ok");
      // An IPv4 address, as a socket of both protocols has it.
      for (const last of ["1", "2", "3"]) {
        expect(await from(`::ffff:192.0.2.${last}`, wrong(key))).toBe("403 SignatureDoesNotMatch");
      }
      expect(await from("::ffff:192.0.2.4", key)).toBe("200 ok");
    });

    test("is not refused where it succeeds in between", async () => {
      for (let tries = 0; tries < 6; tries += 1) {
        const by = tries % 3 === 2 ? key : wrong(key);
        expect(await codeOf(await ask(by))).toMatch(/200 ok|SignatureDoesNotMatch/);
      }
    });

    test("is found by answers to HEAD, which have no code, where it never succeeded", async () => {
      const head = async (by: AccessKey) => (await ask(by, { method: "HEAD" })).status;
      store.answer({ status: 403 });
      for (let tries = 0; tries < 3; tries += 1) expect(await head(wrong(key))).toBe(403);
      const before = store.verdicts.length;
      expect(await head(wrong(key))).toBe(403);
      expect(store.verdicts).toHaveLength(before);
      expect(await spentAtRest(database, world.appId)).toBe(0);
    });

    test("is not one that is denied what a signed request may not do", async () => {
      expect(await codeOf(await ask(key))).toBe("200 ok");
      for (const body of [errorOf("AccessDenied"), errorOf("MalformedXML"), ""]) {
        store.answer({ status: body.includes("Malformed") ? 400 : 403, body });
        for (let tries = 0; tries < 4; tries += 1) await (await ask(key)).text();
      }
      store.answer(undefined);
      expect(await codeOf(await ask(key))).toBe("200 ok");
      // A GET each: none is given back.
      expect(await spentAtRest(database, world.appId)).toBeGreaterThanOrEqual(14);
    });

    test.each([
      [401, ""],
      [403, errorOf("AccessDenied", "Request has expired")],
      [403, errorOf("RequestTimeTooSkewed")],
      [400, errorOf("AuthorizationHeaderMalformed")],
      [400, errorOf("ExpiredToken")],
      [403, '{"code":"InvalidAccessKeyId"}'],
    ])("is given back an answer %s %s, even if it succeeded before", async (status, body) => {
      store.answer({ status, body });
      expect((await ask(key)).status).toBe(status);
      expect(await spentAtRest(database, world.appId)).toBe(0);
    });
  });

  test("that were never found signed have few requests under way", async () => {
    let release = () => {};
    store.hold(
      new Promise((resolve) => {
        release = resolve;
      }),
    );
    const before = store.verdicts.length;
    const waiting = Array.from({ length: 4 }, () => ask(key));
    await vi.waitFor(() => expect(store.verdicts).toHaveLength(before + 4), 30_000);
    const refused = await ask(key);
    expect(refused.headers.get("Retry-After")).toBe("1");
    expect(await codeOf(refused)).toBe("503 SlowDown");
    store.hold(undefined);
    release();
    for (const response of await Promise.all(waiting)) {
      expect(await codeOf(response)).toBe("200 ok");
    }
    const many = await Promise.all(Array.from({ length: 20 }, () => ask(key)));
    for (const response of many) expect(await codeOf(response)).toBe("200 ok");
  });

  describe("cost nothing where no answer shows a signature that the storage verified:", () => {
    /** Sends a request from a socket, and closes it once the storage has it. */
    const hangUp = async (
      by: AccessKey,
      { method = "GET", query = "", body = "", missing = 0 } = {},
    ) => {
      const path = query === "" ? "/bucket/object" : `/bucket${query}`;
      const { headers } = await signed(by, `${nginx.url}${path}`, { method });
      const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
      const length = body === "" ? "" : `Content-Length: ${body.length + missing}\r\n`;
      const before = store.verdicts.length;
      const socket = connect(nginx.port, "127.0.0.1");
      socket.write(
        `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${nginx.port}\r\n` +
          `${lines}${length}\r\n${body}`,
      );
      if (missing > 0) {
        socket.end();
        await once(socket.resume(), "close");
        return;
      }
      await vi.waitFor(() => expect(store.verdicts.length).toBe(before + 1), 30_000);
      socket.destroy();
    };
    const isBlocked = () =>
      vi.waitFor(async () => {
        const refused = await ask(key, { method: "HEAD" });
        expect(Number(refused.headers.get("Retry-After"))).toBeGreaterThan(50);
      }, 30_000);
    const keys = "<Object><Key>a</Key></Object>".repeat(10);

    test.each([
      ["a GET", {}],
      ["a DELETE", { method: "DELETE" }],
      ["a PUT", { method: "PUT", body: "x".repeat(10_000) }],
      ["a POST of keys", { method: "POST", query: "?delete", body: `<Delete>${keys}</Delete>` }],
    ])("a sender that hangs up on %s is counted and blocked", async (_, request) => {
      let release = () => {};
      const blocks = await counter(nginx, /^qos_signature_blocks_total/);
      store.hold(new Promise((resolve) => (release = resolve)));
      for (let tries = 0; tries < 3; tries += 1) await hangUp(wrong(key), request);
      await countsTo(nginx, /^qos_signature_blocks_total/, blocks + 1);
      const before = store.verdicts.length;
      await isBlocked();
      store.hold(undefined);
      release();
      expect(store.verdicts).toHaveLength(before);
      expect(await spentAtRest(database, world.appId)).toBe(0);
    });

    test("an upload that its sender gives up is counted", async () => {
      const upload = { method: "PUT", body: "x".repeat(10_000), missing: 1 };
      for (let tries = 0; tries < 3; tries += 1) await hangUp(key, upload);
      await isBlocked();
      expect(await spentAtRest(database, world.appId)).toBe(0);
    });

    test("but for what passed of an upload of a source that was found signed", async () => {
      const { appId } = await makeWorld(database);
      await addQuota(database, { appId }, { bytesPerSecond: 1_000_000 });
      const by = await register(database, appId, takeKey());
      expect(await codeOf(await ask(by))).toBe("200 ok");
      for (let tries = 0; tries < 4; tries += 1) {
        await hangUp(by, { method: "PUT", body: "x".repeat(10_000), missing: 1 });
      }
      expect(await codeOf(await ask(by))).toBe("200 ok");
      await spentAtRest(database, appId);
      const [row] = await database.sql`
        select sum(spent_bytes)::int as bytes from rate_limiter.token_leases
        where app_id = ${appId}
      `;
      expect(row?.bytes).toBeGreaterThanOrEqual(40_000);
    });

    test.each([
      [307, errorOf("TemporaryRedirect")],
      [400, errorOf("InvalidRequest")],
      [400, errorOf("InvalidArgument")],
      [403, errorOf("AccessDenied")],
      [404, errorOf("NoSuchBucket")],
      [404, ""],
    ])("an answer %s %s is given back and counted", async (status, body) => {
      store.answer({ status, body });
      for (let tries = 0; tries < 3; tries += 1) {
        expect((await ask(wrong(key), { redirect: "manual" })).status).toBe(status);
      }
      await isBlocked();
      expect(await spentAtRest(database, world.appId)).toBe(0);
    });

    test("an error of the storage's own is given back and not counted", async () => {
      store.answer({ status: 503, body: errorOf("SlowDown") });
      for (let tries = 0; tries < 4; tries += 1) expect((await ask(key)).status).toBe(503);
      expect(await spentAtRest(database, world.appId)).toBe(0);
      store.answer(undefined);
      expect(await codeOf(await ask(key))).toBe("200 ok");
    });

    test("bytes of refused requests count, whatever succeeds between them", async () => {
      const body = "x".repeat(40_000);
      for (let tries = 0; tries < 3; tries += 1) {
        store.answer(undefined);
        expect(await codeOf(await ask(key))).toBe("200 ok");
        store.answer({ status: 403, body: errorOf("SignatureDoesNotMatch") });
        expect((await ask(key, { method: "PUT", body })).status).toBe(403);
      }
      await isBlocked();
    });

    test("an answer to OPTIONS, which stores give without a signature, proves nothing", async () => {
      store.answer({ status: 200 });
      for (let tries = 0; tries < 3; tries += 1) {
        expect((await ask(wrong(key), { method: "OPTIONS" })).status).toBe(200);
      }
      await isBlocked();
      expect(await spentAtRest(database, world.appId)).toBe(0);
    });

    test("an error that follows a verified signature proves it, and is charged", async () => {
      store.answer({ status: 404, body: errorOf("NoSuchKey") });
      for (let tries = 0; tries < 4; tries += 1) expect((await ask(key)).status).toBe(404);
      store.answer({ status: 404, body: errorOf("NoSuchBucket") });
      for (let tries = 0; tries < 4; tries += 1) expect((await ask(key)).status).toBe(404);
      expect(await spentAtRest(database, world.appId)).toBeGreaterThanOrEqual(8);
    });
  });

  test("show what is left of a quota to a sender alone that was found signed", async () => {
    const fieldsOf = async (by: AccessKey) => {
      const { headers } = await ask(by);
      return [headers.has("RateLimit"), headers.has("RateLimit-Policy")];
    };
    expect(await fieldsOf(wrong(key))).toEqual([false, false]);
    expect(await fieldsOf(key)).toEqual([false, false]);
    await vi.waitFor(async () => expect(await fieldsOf(key)).toEqual([true, true]), 30_000);
  });

  test("an upload of an unproven sender holds a part of it, and is charged whole at its end", async () => {
    const begin = async (by: AccessKey, length: number) => {
      const { headers } = await signed(wrong(by), url, { method: "PUT" });
      const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
      const socket = connect(nginx.port, "127.0.0.1");
      socket.write(
        `PUT /bucket/object HTTP/1.1\r\nHost: 127.0.0.1:${nginx.port}\r\n${lines}` +
          `Content-Length: ${length}\r\n\r\n`,
      );
      return socket;
    };
    const one = await makeWorld(database);
    await addQuota(database, one, { bytesPerSecond: 100_000 });
    const before = store.begun();
    const held = await begin(await register(database, one.appId, takeKey()), 5_000_000);
    await vi.waitFor(() => expect(store.begun()).toBe(before + 1), 30_000);
    const beside = await fetch(url, {
      method: "PUT",
      body: "x".repeat(60_000),
      headers: { "X-API-Key": one.apiKey },
    });
    expect(await codeOf(beside)).toBe("403 AccessDenied");
    held.destroy();

    const strict = await makeWorld(database);
    await addQuota(database, strict, { bytesPerSecond: 100_000, oversize: false });
    const refused = await begin(await register(database, strict.appId, takeKey()), 5_000_000);
    expect(String(await once(refused, "data"))).toMatch(/EntityTooLarge/);
    refused.destroy();

    const other = await makeWorld(database);
    await addQuota(database, other, { bytesPerSecond: 1_000_000 });
    const owner = await register(database, other.appId, takeKey());
    const sent = await ask(owner, { method: "PUT", body: "x".repeat(900_000) });
    expect(await codeOf(sent)).toBe("200 ok");
    await vi.waitFor(async () => {
      const { bytes } = await charged(database, other);
      expect(Number(bytes)).toBeGreaterThanOrEqual(900_000);
    }, 30_000);
  });

  test.each([
    ["a large upload", { method: "PUT", body: "x".repeat(900_000) }, 0],
    ["what its owner is denied, too", { method: "DELETE" }, 1],
  ])("a sender that is not proven moves no lease of the owner by %s", async (_, init, denied) => {
    const { appId, apiKey } = await makeWorld(database);
    const quota = { iops: { limit: 1, burst: denied ? 4 : 1_000 }, bytesPerSecond: 1_000_000 };
    await addQuota(database, { appId }, quota);
    const by = await register(database, appId, takeKey());
    const settled = () => counter(nginx, /^qos_database_calls_total\{call="settle_lease"\}/);
    const strangers = () => counter(nginx, /^qos_unproven_denials_total/);
    // What came before is told of within a second.
    const atRest = () =>
      vi.waitFor(
        async () => {
          const count = await settled();
          await sleep(1_200);
          expect(await settled()).toBe(count);
          return count;
        },
        { timeout: 30_000 },
      );
    const before = { settled: await atRest(), strangers: await strangers() };
    const own = await fetch(url, { method: "HEAD", headers: { "X-API-Key": apiKey } });
    expect(own.status).toBe(403);
    // Workers tell their counts once a second; a request that met an outage counts nothing.
    const counted = async () => {
      expect(await codeOf(await ask(wrong(by), init))).not.toMatch(/^200/);
      expect((await strangers()) - before.strangers > 0).toBe(denied > 0);
    };
    await vi.waitFor(counted, { timeout: 30_000, interval: 1_000 });
    expect(await settled()).toBe(before.settled);
    const rows = await database.sql`
      select from rate_limiter.denial_counts where app_id = ${appId}
    `;
    expect(rows).toHaveLength(0);
  });

  describe("of a source that was never found signed", () => {
    const begin = async (by: AccessKey, { method = "PUT", path = "/bucket/object", body = "" }) => {
      const { headers } = await signed(by, `${nginx.url}${path}`, { method });
      const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
      const socket = connect(nginx.port, "127.0.0.1");
      socket.on("error", () => {});
      await once(socket, "connect");
      const host = `Host: 127.0.0.1:${nginx.port}\r\n`;
      socket.write(`${method} ${path} HTTP/1.1\r\n${host}${lines}${body}`);
      return socket;
    };
    /** One request more than may be under way: the last of them is refused. */
    const holdAll = async (by: AccessKey, request: Parameters<typeof begin>[1]) => {
      const answers: string[] = [];
      const sockets = await Promise.all(Array.from({ length: 5 }, () => begin(by, request)));
      for (const socket of sockets) socket.on("data", (data) => answers.push(data.toString()));
      await vi.waitFor(() => expect(answers.join("")).toMatch(/^HTTP\/1.1 503 /), 30_000);
      return sockets;
    };
    const makeKey = async () => {
      const { appId } = await makeWorld(database);
      await addQuota(database, { appId }, { bytesPerSecond: 1_000_000 });
      return { appId, by: await register(database, appId, takeKey()) };
    };
    const isAdmitted = (by: AccessKey) =>
      vi.waitFor(async () => expect(await codeOf(await ask(by))).toBe("200 ok"), 30_000);
    const chunk = `ffff\r\n${"x".repeat(0xffff)}\r\n`;
    const unannounced = { body: `Transfer-Encoding: chunked\r\n\r\n${chunk}` };
    const keysToDelete = {
      ...{ method: "POST", path: "/bucket?delete" },
      body: "Content-Length: 1000\r\n\r\n<Delete>",
    };

    test.each([
      ["a body without a length", unannounced],
      ["a list of keys", keysToDelete],
    ])("%s that is given up is charged to no one, and under way no more", async (_, request) => {
      const { appId, by } = await makeKey();
      const sockets = await holdAll(wrong(by), request);
      for (const socket of sockets) socket.destroy();
      await isAdmitted(by);
      await spentAtRest(database, appId);
      const [row] = await database.sql`
        select coalesce(sum(-t.tokens_change), 0)::int as bytes
        from rate_limiter.token_transactions as t
        where t.owner_id = ${appId} and t.bucket_type = 'bandwidth_l2'
      `;
      expect(row?.bytes).toBeLessThan(60_000);
    });

    test("what a worker had under way that died counts no more", async () => {
      const pids = new Set<number>();
      await vi.waitFor(async () => {
        const { body } = await fetch(`${nginx.adminUrl}/worker`, {
          headers: { Connection: "close" },
        });
        pids.add(Number(await text(body as never)));
        expect(pids.size).toBe(2);
      }, 30_000);
      const { by } = await makeKey();
      const sockets = await holdAll(wrong(by), { body: "Content-Length: 1000\r\n\r\nx" });
      for (const pid of pids) process.kill(pid, "SIGKILL");
      await vi.waitFor(async () => {
        const answer = await ask(by).then(codeOf, () => "no worker yet");
        expect(answer).toBe("200 ok");
      }, 30_000);
      for (const socket of sockets) socket.destroy();
    });

    test("a denial does not tell what the owner's buckets hold", async () => {
      const { appId, apiKey } = await makeWorld(database);
      await addQuota(database, { appId }, { bytesPerSecond: 1_000 });
      const by = await register(database, appId, takeKey());
      const own = { url: `${nginx.url}/public/object`, headers: { "X-API-Key": apiKey } };
      const body = "x".repeat(200_000);
      const paid = await fetch(own.url, { method: "PUT", headers: own.headers, body });
      expect(paid.status).toBe(200);
      await eventually(async () => {
        const denied = await fetch(own.url, { headers: own.headers });
        expect(Number(denied.headers.get("Retry-After"))).toBeGreaterThan(30);
      });
      const told = await ask(wrong(by));
      expect(await codeOf(told)).toBe("503 SlowDown");
      expect(told.headers.get("Retry-After")).toBe("1");
    });
  });

  describe("a form", () => {
    const post = (body: FormData) => fetch(`${nginx.url}/bucket`, { method: "POST", body });

    test("is charged for its bytes, though it was read before", async () => {
      const { appId } = await makeWorld(database);
      await addQuota(database, { appId }, { bytesPerSecond: 1_000_000 });
      const by = await register(database, appId, takeKey());
      expect(await codeOf(await post(uploadForm(by, "x".repeat(5_000))))).toBe("200 ok");
      await spentAtRest(database, appId);
      const [row] = await database.sql`
        select sum(spent_bytes)::int as bytes from rate_limiter.token_leases
        where app_id = ${appId}
      `;
      expect(row?.bytes).toBeGreaterThan(5_000);
      expect(row?.bytes).toBeLessThan(8_000);
    });

    test("that is larger than allowed is refused", async () => {
      expect(await codeOf(await post(uploadForm(key, "x".repeat(10_001))))).toBe(
        "413 EntityTooLarge",
      );
    });

    test("without a length, without a key, or with two is refused", async () => {
      const unknown = new FormData();
      unknown.set("key", "object");
      expect(await codeOf(await post(unknown))).toBe("403 AccessDenied");
      const twice = uploadForm(key, "content");
      twice.delete("file");
      twice.append("x-amz-credential", "AKIAx/20260101/r/s3/aws4_request");
      twice.append("file", "content");
      expect(await codeOf(await post(twice))).toBe("400 InvalidRequest");
      const socket = connect(nginx.port, "127.0.0.1");
      socket.write(
        "POST /bucket HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" +
          "Content-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      );
      expect(await text(socket)).toMatch(/^HTTP\/1.1 411 /);
    });
  });
});

describe.skipIf(missing !== undefined)("what the operator says of identities", async () => {
  const database = await createDatabase();
  const folder = mkdtempSync(join(tmpdir(), "qos-identities-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const [owner, reader, sessions] = [
    await makeWorld(database),
    await makeWorld(database),
    await makeWorld(database),
  ];
  for (const { appId } of [owner, reader, sessions]) {
    await addQuota(database, { appId }, { iops: { limit: 1_000, burst: 1_000 } });
  }
  const key = newKey();
  const session = { ...newKey("ASIAQNZGKIQY00000001"), token: "FwoGZXIvYXdzEAAa" };
  await register(database, owner.appId, key);
  const denied = await makeWorld(database);
  await addQuota(database, denied, { bytesPerSecond: 10 });
  const keyOfDenied = await register(database, denied.appId, newKey());
  const path = join(folder, "identities.json");
  writeFileSync(
    path,
    JSON.stringify({
      secrets: { [key.id]: key.secret, [keyOfDenied.id]: keyOfDenied.secret },
      anonymous: { public: reader.apiKey },
      domain: "s3.example.org",
      sessions: [
        { id_prefix: "ASIAQNZGKIQY", token_prefix: "FwoGZXIvYXdzE", key: sessions.apiKey },
      ],
    }),
  );
  const { nginx, store }: SigningGateway =
    missing === undefined
      ? await startSigningGateway(
          database,
          { QOS_IDENTITIES_FILE: path, QOS_FORM_BYTES: "10000" },
          [key, session, keyOfDenied],
        )
      : (undefined as never);
  const url = `${nginx?.url}/bucket/object`;
  const now = Date.now();
  let failed = 0;
  const minutes = (count: number) => new Date(now + count * 60_000);

  describe("a signature is verified here where its secret is known:", () => {
    test.each<[string, (by: AccessKey) => Promise<Response>]>([
      ["a header", async (by) => fetch(await signed(by, url))],
      [
        "a header over a query and other characters",
        async (by) =>
          fetch(await signed(by, `${nginx.url}/b/a%20b!'(c)*~%C3%A4%2B?x=1%202&a=%2F&b&c=%2B`)),
      ],
      ["a presigned URL", async (by) => fetch(await presigned(by, url))],
      ["an upload", async (by) => fetch(await signed(by, url, { method: "PUT", body: "content" }))],
      [
        "an upload in chunks",
        async (by) => fetch(url, { method: "PUT", ...(await chunked(by, url, ["one", "two"])) }),
      ],
      [
        "a form",
        async (by) =>
          fetch(`${nginx.url}/bucket`, { method: "POST", body: uploadForm(by, "content") }),
      ],
    ])("%s", async (_, way) => {
      expect(await codeOf(await way(key))).toBe("200 ok");
      const before = store.verdicts.length;
      failed += 15;
      for (let tries = 0; tries < 15; tries += 1) {
        expect(await codeOf(await way(wrong(key)))).toBe("403 SignatureDoesNotMatch");
      }
      expect(store.verdicts).toHaveLength(before);
      await countsTo(nginx, /^qos_signature_failures_total\{by="gateway"\}/, failed);
      expect(await codeOf(await way(key))).toBe("200 ok");
    });

    test("a wrong one is told whatever the owner's buckets hold", async () => {
      const upload = async (by: AccessKey) =>
        codeOf(await fetch(await signed(by, url, { method: "PUT", body: "x".repeat(5_000) })));
      expect(await upload(keyOfDenied)).toBe("200 ok");
      expect(await upload(keyOfDenied)).toBe("503 SlowDown");
      failed += 1;
      expect(await upload(wrong(keyOfDenied))).toBe("403 SignatureDoesNotMatch");
    });

    test("as it stands in the request line, whatever is encoded in it", async () => {
      // Written otherwise than a client would: a plus, and letters that need no encoding.
      const written = "/b/a+b%7E%6f?y=%61+b&x";
      const canonical = "/b/a%2Bb~o\nx=&y=a%20b";
      for (const [by, code] of [
        [key, "200"],
        [wrong(key), "403"],
      ] as const) {
        const sent = httpRequest({
          ...{ host: "127.0.0.1", port: nginx.port, path: written },
          headers: signedByHand(by, canonical, `127.0.0.1:${nginx.port}`),
        });
        store.answer({ status: 200 });
        sent.end();
        const [response] = (await once(sent, "response")) as [IncomingMessage];
        store.answer(undefined);
        response.resume();
        expect(String(response.statusCode)).toBe(code);
      }
    });

    test.each([
      [100, "200"],
      [101, "403"],
    ])("of %i arguments in its query: %s", async (count, code) => {
      const names = Array.from({ length: count }, (_, place) => `a${1_000 + place}`);
      const written = names.toReversed().map((name) => `${name}=1`);
      const canonical = names.map((name) => `${name}=1`).join("&");
      const sent = httpRequest({
        ...{ host: "127.0.0.1", port: nginx.port, path: `/b/o?${written.join("&")}` },
        headers: signedByHand(key, `/b/o\n${canonical}`, `127.0.0.1:${nginx.port}`),
      });
      store.answer({ status: 200 });
      sent.end();
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      store.answer(undefined);
      response.resume();
      expect(String(response.statusCode)).toBe(code);
    });

    test.each<[string, string, () => Promise<Response>]>([
      [
        "a header that is too old",
        "403 RequestTimeTooSkewed",
        async () => fetch(await signed(key, url, { at: minutes(-16) })),
      ],
      [
        "a header of the future",
        "403 RequestTimeTooSkewed",
        async () => fetch(await signed(key, url, { at: minutes(60) })),
      ],
      [
        "a URL that is over",
        "403 AccessDenied",
        async () => fetch(await presigned(key, url, { at: minutes(-10), seconds: 300 })),
      ],
      [
        "a URL that lasts too long",
        "403 AccessDenied",
        async () => fetch(await presigned(key, url, { seconds: 604_801 })),
      ],
      [
        "a form that is over",
        "403 AccessDenied",
        async () =>
          fetch(`${nginx.url}/bucket`, {
            method: "POST",
            body: uploadForm(key, "x", { endsAt: minutes(-1) }),
          }),
      ],
    ])("and %s is refused", async (_, code, way) => {
      const before = store.verdicts.length;
      expect(await codeOf(await way())).toBe(code);
      expect(store.verdicts).toHaveLength(before);
    });

    test.each([
      ["a header", () => fetch(url, { headers: signedVersion2(key, "GET", "/bucket/object") })],
      ["a URL", () => fetch(presignedVersion2(key, url))],
      [
        "a form",
        () => {
          const body = uploadForm(key, "x", { isVersion2: true });
          return fetch(`${nginx.url}/bucket`, { method: "POST", body });
        },
      ],
    ])("and %s of version 2 is refused, which would be a way around it", async (_, way) => {
      const before = store.verdicts.length;
      expect(await codeOf(await way())).toBe("400 InvalidRequest");
      expect(store.verdicts).toHaveLength(before);
    });

    const many = (count: number) =>
      Array.from({ length: count }, (_, place) => [`x-amz-meta-${place}`, "x"] as const);

    test.each([
      [
        "with spaces around a value",
        200,
        [["x-amz-meta-a", "x y"]],
        { "x-amz-meta-a": "  x   y " },
      ],
      ["of many headers", 200, many(98), {}],
      ["of more headers than any client signs", 403, many(99), {}],
      ["that names a header twice", 403, [...many(1), ...many(1)], {}],
    ] as const)("a signature %s is answered with %i", async (_, status, others, sent) => {
      const host = `127.0.0.1:${nginx.port}`;
      const asking = httpRequest({
        ...{ host: "127.0.0.1", port: nginx.port, path: "/b/o" },
        headers: { ...signedByHand(key, "/b/o\n", host, others), ...sent },
      });
      store.answer({ status: 200 });
      asking.end();
      const [response] = (await once(asking, "response")) as [IncomingMessage];
      store.answer(undefined);
      response.resume();
      expect(response.statusCode).toBe(status);
    });

    test("and a URL signed long ago is good until its end", async () => {
      const response = await fetch(await presigned(key, url, { at: minutes(-60), seconds: 7_200 }));
      expect(await codeOf(response)).toBe("200 ok");
    });

    test.each([
      ["another path", (signedUrl: string) => signedUrl.replace("object", "other")],
      ["another query", (signedUrl: string) => `${signedUrl}&acl`],
      ["another end", (signedUrl: string) => signedUrl.replace("Expires=3600", "Expires=3601")],
    ])("and covers %s", async (_, change) => {
      const response = await fetch(change(await presigned(key, url)));
      expect(await codeOf(response)).toBe("403 SignatureDoesNotMatch");
    });
  });

  describe("anonymous reads of a bucket", () => {
    const raw = async (path: string, host = "h") => {
      const socket = connect(nginx.port, "127.0.0.1");
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      return (await text(socket)).slice(9, 12);
    };

    test("are charged to the application that the operator names", async () => {
      expect(await codeOf(await fetch(`${nginx.url}/public/object`))).toBe("200 ok");
      expect((await fetch(`${nginx.url}/public/object`, { method: "HEAD" })).status).toBe(200);
      expect(await raw("/object", "public.s3.example.org:8080")).toBe("403");
      expect(store.verdicts.at(-1)).toBe("AccessDenied");
      expect(await spentAtRest(database, reader.appId)).toBeGreaterThan(0);
    });

    test("are of that bucket, and reads, alone", async () => {
      const before = store.verdicts.length;
      const denied = "403 AccessDenied";
      expect(await codeOf(await fetch(`${nginx.url}/other/object`))).toBe(denied);
      expect(await codeOf(await fetch(`${nginx.url}/publicity/object`))).toBe(denied);
      for (const method of ["PUT", "POST", "DELETE"]) {
        expect(await codeOf(await fetch(`${nginx.url}/public/object`, { method }))).toBe(denied);
      }
      const headers = { Authorization: "Bearer something" };
      expect(await codeOf(await fetch(`${nginx.url}/public/object`, { headers }))).toBe(denied);
      for (const [path, status] of [
        ["/public/../other/object", "400"],
        ["/other/../public/object", "400"],
        ["/public/%2e%2e/other/object", "400"],
        ["//public/object", "403"],
        ["/public%2fobject", "403"],
      ] as const) {
        expect(await raw(path)).toBe(status);
      }
      expect(await raw("/object", "other.s3.example.org")).toBe("403");
      expect(store.verdicts).toHaveLength(before);
    });
  });

  describe("temporary credentials", () => {
    test("are charged by their beginning, and watched as other ids are", async () => {
      expect(await codeOf(await fetch(await signed(session, url)))).toBe("200 ok");
      expect(await codeOf(await fetch(await presigned(session, url)))).toBe("200 ok");
      expect(await spentAtRest(database, sessions.appId)).toBeGreaterThan(0);
      expect(await codeOf(await fetch(await signed(wrong(session), url)))).toBe(
        "403 SignatureDoesNotMatch",
      );
    });

    test("that are made up are watched as one", async () => {
      const makeUp = () => signed({ ...session, ...newKey(`${session.id}${++keysMade}`) }, url);
      for (let tries = 0; tries < 10; tries += 1) {
        expect(await fromAddress("127.0.0.3", await makeUp())).toBe("403 InvalidAccessKeyId");
      }
      const before = store.verdicts.length;
      expect(await fromAddress("127.0.0.3", await makeUp())).toBe("403 AccessDenied");
      expect(store.verdicts).toHaveLength(before);
    });

    test("of others, and without a token, are not known", async () => {
      const before = store.verdicts.length;
      const { token: _, ...without } = session;
      for (const by of [
        without,
        { ...session, token: "another token" },
        { ...session, id: "ASIAotheraccount" },
      ]) {
        expect(await codeOf(await fetch(await signed(by, url)))).toBe("403 InvalidAccessKeyId");
      }
      expect(store.verdicts).toHaveLength(before);
    });
  });

  test.each([
    ["not JSON", "{"],
    ["an unknown member", '{"secret": {"AKIA1": "classified"}}'],
    ["a secret that is none", '{"secrets": {"AKIA1": ["classified"]}}'],
    ["an id that is none", '{"secrets": {"a classified": "x"}}'],
    ["a bucket without a key", '{"anonymous": {"public": "classified"}}'],
    [
      "a prefix that is too short",
      '{"sessions": [{"id_prefix": "ASIA", "key": "qos_classified"}]}',
    ],
    ["a rule without a prefix", '{"sessions": [{"key": "qos_classified"}]}'],
  ])("a file with %s keeps the gateway from starting, and is not repeated", async (_, content) => {
    const bad = join(folder, "bad.json");
    writeFileSync(bad, content);
    const starting = startNginx({ upstreamPort: 9, environment: { QOS_IDENTITIES_FILE: bad } });
    const error = await starting.then(
      () => "it started",
      (problem: Error) => problem.message,
    );
    expect(error).toContain("QOS_IDENTITIES_FILE: ");
    expect(error).not.toContain("classified");
  });
});

test.skipIf(missing !== undefined)(
  "forms are refused unless the operator bounds them",
  async () => {
    const database = await createDatabase();
    const world = await makeWorld(database);
    const key = await register(database, world.appId, newKey());
    const { nginx, store } = await startSigningGateway(database, {}, [key]);
    const body = uploadForm(key, "content");
    expect(await codeOf(await fetch(`${nginx.url}/bucket`, { method: "POST", body }))).toBe(
      "403 AccessDenied",
    );
    expect(store.verdicts).toEqual([]);
  },
);
