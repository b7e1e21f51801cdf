import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { addQuota, type ClientWorld, charged, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { counter, startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

// A rule of an operator's own map that fails on what a client sends.
const withFailingRule = (configuration: string) =>
  configuration.replace(
    "init_by_lua_block {",
    `init_by_lua_block {
      package.preload["qos.operations.operation_map"] = function()
        local map = dofile(package.searchpath("qos.operations.operation_map", package.path))
        table.insert(map, 1, {
          operation = "head",
          header = function(headers)
            return headers["x-fail"] and error("told to fail")
          end,
        })
        return map
      end`,
  );

describe.skipIf(missing !== undefined)("what can be read in two ways", async () => {
  const database = await createDatabase();
  const folder = mkdtempSync(join(tmpdir(), "qos-readings-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const reader = await makeWorld(database);
  const identities = join(folder, "identities.json");
  writeFileSync(
    identities,
    JSON.stringify({ anonymous: { public: reader.apiKey }, domain: "s3.example.org" }),
  );
  const { nginx, storage } =
    missing === undefined
      ? await startGateway(
          database,
          {
            QOS_DATABASE_TIMEOUT_MS: "20000",
            QOS_FORM_BYTES: "300000",
            QOS_IDENTITIES_FILE: identities,
            QOS_OUTAGE_POLICY: "open",
            QOS_PACE_DOWNLOADS: "off",
          },
          { edit: withFailingRule },
        )
      : (undefined as never);
  let world: ClientWorld;
  let id: string;

  beforeEach(async () => {
    world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 1, burst: 100_000 } });
    id = `AKIA${world.appId.replaceAll("-", "").slice(0, 16).toUpperCase()}`;
    await database.sql`select rate_limiter_private.register_access_key(${world.appId}, ${id})`;
  });

  async function raw(request: string | Buffer): Promise<string> {
    const socket = connect(nginx.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(request);
    return text(socket);
  }

  const lines = (...others: string[]) =>
    ["Host: h", "X-Amz-Date: 20260101T000000Z", ...others, "Connection: close", "", ""].join(
      "\r\n",
    );
  const withKey = (...others: string[]) => lines(`X-API-Key: ${world.apiKey}`, ...others);
  const answerOf = (response: string) =>
    `${response.slice(9, 12)} ${/<Code>(\w+)</.exec(response)?.[1] ?? "ok"}`;

  async function isRefused(request: string | Buffer, answer: string): Promise<void> {
    const before = storage.requests.length;
    expect(answerOf(await raw(request))).toBe(answer);
    expect(storage.requests).toHaveLength(before);
  }

  const credential = (of: string) => `${of}/20260101/us-east-1/s3/aws4_request`;
  const query = (of: string) =>
    `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${credential(of).replaceAll("/", "%2F")}` +
    "&X-Amz-Date=20260101T000000Z&X-Amz-Expires=600&X-Amz-SignedHeaders=host&X-Amz-Signature=0";

  test.each([
    ["GET", "/k", "h", "list"],
    ["GET", "/k", "bucket.s3.example.org", "read_medium"],
    ["GET", "/k", "bucket.s3.example.org.:80", "read_medium"],
    ["GET", "/?list-type=2", "bucket.s3.example.org", "list"],
    ["GET", "/bucket", "s3.example.org", "list"],
    ["POST", "/k?delete", "bucket.s3.example.org", "write_small"],
    ["POST", "/?delete", "bucket.s3.example.org", "delete"],
  ])("%s %s of %s is %s: hosts name buckets", async (method, target, host, operation) => {
    const own = await makeWorld(database);
    await addQuota(database, own, { iops: { limit: 1, burst: 100_000, method: "leaky_bucket" } });
    const head = `Host: ${host}\r\nX-API-Key: ${own.apiKey}\r\nConnection: close\r\n\r\n`;
    expect(answerOf(await raw(`${method} ${target} HTTP/1.1\r\n${head}`))).toBe("200 ok");
    const rows = await database.sql`
      select operation from rate_limiter.charges where app_id = ${own.appId}
    `;
    expect(rows.map((row) => row.operation)).toContain(operation);
  });

  describe("in the target of a request", () => {
    test.each([
      ["POST", "/bucket?#&delete"],
      ["POST", "/bucket?x#&delete"],
      ["GET", "/b/#/bytes/1000000"],
      ["GET", "/b/k?#&X-Amz-Credential=x"],
      ["GET", "/bytes/1000000/.."],
      ["GET", "/bytes/1000000/%2e%2e/"],
      ["GET", "/b/./k"],
      ["GET", "/b/%2E%2e%2fk"],
      // What nginx takes for a bucket is an object for the storage.
      ["GET", "/b/bytes/300000/..%2F..%2F..%2Fb"],
      ["GET", "/b//"],
      ["POST", "/b//?delete"],
      ["GET", "/b\\k"],
      ["GET", "/b/k?a=%00"],
      ["GET", "/b/k?a=%zz"],
      ["POST", "/b?x;delete"],
      ["POST", "/b?x=1;delete"],
      ["GET", "http://h?x=1"],
    ])("%s %s is refused", (method, target) =>
      isRefused(`${method} ${target} HTTP/1.1\r\n${withKey()}`, "400 InvalidURI"),
    );

    test.each(["/b/a//k", "/b/k?prefix=a%2Fb&delimiter=/", "/b/.k", "/b/k..", "/b/%5C"])(
      "GET %s is not",
      async (target) => {
        const response = await raw(`GET ${target} HTTP/1.1\r\n${withKey()}`);
        expect(answerOf(response)).toBe("200 ok");
        expect(storage.requests.at(-1)?.url).toBe(target);
      },
    );

    test.each(["/public#/../../private/k", "/public/k?#&X-Amz-Credential=x"])(
      "nor without a key: %s",
      (target) => isRefused(`GET ${target} HTTP/1.1\r\n${lines()}`, "400 InvalidURI"),
    );

    test("HTTP/0.9 is refused, and costs no one anything", async () => {
      const before = storage.requests.length;
      expect(await raw(`GET /b/o?${query(id)}\r\n`)).toContain("<Code>InvalidRequest</Code>");
      expect(await raw("GET /b/o\r\n")).toContain('"status":400');
      expect(storage.requests).toHaveLength(before);
    });
  });

  test("a request at which the gateway fails is refused and counted, whatever the outage policy", async () => {
    const failures = await counter(nginx, /^qos_errors_total/);
    await isRefused(`GET /b/o HTTP/1.1\r\n${withKey("X-Fail: 1")}`, "400 InvalidRequest");
    await isRefused(
      `GET /b/o?${query(id)} HTTP/1.1\r\n${lines("X-Fail: 1")}`,
      "400 InvalidRequest",
    );
    await eventually(async () =>
      expect(await counter(nginx, /^qos_errors_total/)).toBe(failures + 2),
    );
    expect(await counter(nginx, /^qos_uncharged_total/)).toBe(0);
  });

  describe("in an Authorization header", () => {
    const rest = "SignedHeaders=host, Signature=0";
    const [victim, other] = [() => credential(id), () => credential("AKIAOTHER")];
    const malformed = "400 AuthorizationHeaderMalformed";

    test.each<[string, () => string]>([
      ["a blank before =", () => `Credential=${victim()}, Credential =${other()}, ${rest}`],
      ["a tab before =", () => `Credential=${victim()}, Credential\t=${other()}, ${rest}`],
      ["a blank after =", () => `Credential=${victim()}, Credential= ${other()}, ${rest}`],
      ["another part", () => `Credential=${victim()}, credential=${other()}, ${rest}`],
      ["a part without a name", () => `Credential=${victim()},x/${other()}, ${rest}`],
      ["a comma in an id", () => `Credential=${victim()},${other()}, ${rest}`],
      ["no comma", () => `Credential=${victim()} ${rest}`],
      ["a comma at the end", () => `Credential=${victim()}, ${rest},`],
      ["a missing part", () => `Credential=${victim()}, SignedHeaders=host`],
      ["a quotation mark", () => `Credential="${victim()}", ${rest}`],
      ["a scope without a service", () => `Credential=${id}/20260101/s3/aws4_request, ${rest}`],
      ["two blanks", () => ` Credential=${victim()}, ${rest}`],
    ])("%s is refused", (_, make) =>
      isRefused(
        `GET /b/o HTTP/1.1\r\n${lines(`Authorization: AWS4-HMAC-SHA256 ${make()}`)}`,
        malformed,
      ),
    );

    test("a part twice is refused", () =>
      isRefused(
        `GET /b/o HTTP/1.1\r\n${lines(
          `Authorization: AWS4-HMAC-SHA256 Credential=${victim()}, Credential=${other()}, ${rest}`,
        )}`,
        "400 InvalidRequest",
      ));

    test.each<[string, () => string]>([
      ["a tab before it", () => `\tAWS4-HMAC-SHA256 Credential=${victim()}, ${rest}`],
      ["a tab behind the scheme", () => `AWS\t${id}:c2ln`],
      ["two blanks behind the scheme", () => `AWS  ${id}:c2ln`],
      ["small letters", () => `aws ${id}:c2ln`],
      ["no base64", () => `AWS ${id}:c2l n`],
      ["no signature", () => `AWS ${id}:`],
    ])("%s is refused, beside an API key as well", async (_, make) => {
      const header = `Authorization: ${make()}`;
      await isRefused(`GET /b/o HTTP/1.1\r\n${lines(header)}`, malformed);
      await isRefused(`GET /b/o HTTP/1.1\r\n${withKey(header)}`, "400 InvalidRequest");
    });

    test.each([
      "Credential=ID,SignedHeaders=host,Signature=0",
      "Signature=0,  Credential=ID, SignedHeaders=host;x-amz-date",
    ])("%s is taken", async (parts) => {
      const header = `Authorization: AWS4-HMAC-SHA256 ${parts.replace("ID", victim())}`;
      expect(answerOf(await raw(`GET /b/o HTTP/1.1\r\n${lines(header)}`))).toBe("200 ok");
    });

    test.each([
      ["twice", ["x-amz-security-token: a", "X-Amz-Security-Token: b"], ""],
      ["in the query as well", ["x-amz-security-token: a"], "?X-Amz-Security-Token=b"],
      ["in the query alone", [], "?x-amz-security-token=b"],
    ])("a session token %s is refused", (_, tokens, arguments_) =>
      isRefused(
        `GET /b/o${arguments_} HTTP/1.1\r\n${lines(
          `Authorization: AWS4-HMAC-SHA256 Credential=${victim()}, ${rest}`,
          ...tokens,
        )}`,
        "400 InvalidRequest",
      ),
    );
  });

  describe("in a query", () => {
    test.each([
      ["a name that is encoded", "X-Amz-Credential", "X%2DAmz-Credential"],
      ["a signature whose name is encoded", "X-Amz-Signature", "X-Amz-Signatur%65"],
    ])("%s is refused", (_, name, written) =>
      isRefused(
        `GET /b/o?${query(id).replace(name, written)} HTTP/1.1\r\n${lines()}`,
        "400 InvalidRequest",
      ),
    );

    test("an encoded name beside the same one is refused", () =>
      isRefused(
        `GET /b/o?${query(id)}&X%2DAmz-Credential=x HTTP/1.1\r\n${lines()}`,
        "400 InvalidRequest",
      ));

    test("a session token in a header as well is refused", () =>
      isRefused(
        `GET /b/o?${query(id)}&X-Amz-Security-Token=a HTTP/1.1\r\n${lines("X-Amz-Security-Token: b")}`,
        "400 InvalidRequest",
      ));
  });

  describe("in a form", () => {
    const part = (name: string, value: string, boundary = "BBB") =>
      `--${boundary}\r\nContent-Disposition: form-data; ${name}\r\n\r\n${value}\r\n`;
    const named = (name: string, value: string, boundary?: string) =>
      part(`name="${name}"`, value, boundary);
    const claim = (of: string, boundary?: string) =>
      named("policy", "e30=", boundary) +
      named("x-amz-credential", credential(of), boundary) +
      named("x-amz-signature", "0", boundary);
    const file = (boundary = "BBB", size = 100) =>
      `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n` +
      `Content-Type: text/plain\r\n\r\n${"x".repeat(size)}\r\n`;
    const end = "--BBB--\r\n";
    const form = (body: string, type = "multipart/form-data; boundary=BBB", ...others: string[]) =>
      `POST /b HTTP/1.1\r\n${lines(
        `Content-Type: ${type}`,
        `Content-Length: ${Buffer.byteLength(body)}`,
        ...others,
      )}${body}`;
    const malformed = "400 MalformedPOSTRequest";
    const whole = () => claim(id) + file() + end;

    test.each([
      "multipart/form-data; xboundary=AAA; boundary=BBB",
      "multipart/form-data; boundary=BBB; boundary=AAA",
      "multipart/form-data; boundary=BBB; x=1",
      'multipart/form-data; boundary="B\\BB"',
      "multipart/form-data; boundary =BBB",
      "multipart/form-data; boundary*=utf-8''BBB",
      "multipart/form-data, multipart/form-data; boundary=BBB",
      "multipart/form-data; boundary=BBB; charset=utf-16",
      "multipart/form-data",
    ])("Content-Type: %s is refused", (type) => isRefused(form(whole(), type), malformed));

    test.each([
      "multipart/form-data; boundary=BBB",
      'Multipart/Form-Data;Boundary="BBB"',
      "multipart/form-data; charset=utf-8; boundary=BBB",
    ])("Content-Type: %s is taken", async (type) => {
      expect(answerOf(await raw(form(whole(), type)))).toBe("200 ok");
    });

    test.each<[string, () => string]>([
      ["another parameter that ends with name", () => part('xname="a"; name="b"', "x")],
      ["two names", () => part('name="a"; name="b"', "x")],
      ["a name with an escape", () => part('name="a\\"b"', "x")],
      ["a name with blanks around it", () => part('name=" x-amz-credential"', "x")],
      ["a name in another encoding", () => part(`name*=utf-8''x-amz-credential`, "x")],
      ["no name", () => part("filename=a", "x")],
      ["a file name of a field", () => part('name="x-amz-credential"; filename="x"', "x")],
      ["a file name in another encoding", () => part(`name="a"; filename*=utf-8''x`, "x")],
      [
        "two dispositions",
        () =>
          '--BBB\r\nContent-Disposition: form-data; name="a"\r\n' +
          'Content-Disposition: form-data; name="b"\r\n\r\nx\r\n',
      ],
      [
        "a header that goes on in the next line",
        () => '--BBB\r\nContent-Disposition: form-data;\r\n name="a"\r\n\r\nx\r\n',
      ],
      [
        "an encoding",
        () =>
          '--BBB\r\nContent-Disposition: form-data; name="a"\r\n' +
          "Content-Transfer-Encoding: base64\r\n\r\nx\r\n",
      ],
      [
        "a line that ends otherwise",
        () => '--BBB\r\nContent-Disposition: form-data; name="a"\nX: y\r\n\r\nx\r\n',
      ],
      [
        "a longer boundary",
        () => '--BBBB\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n',
      ],
      ["a boundary in a value", () => named("a", "x\n--BBB\r\ny")],
    ])("%s is refused", async (_, make) => {
      await isRefused(form(make() + whole()), malformed);
      await isRefused(form(claim(id) + make() + file() + end), malformed);
    });

    test("what a field hides beyond its beginning is refused", () =>
      isRefused(
        form(claim(id) + named("a", "x".repeat(70_000)) + claim("AKIAOTHER") + file() + end),
        "400 InvalidRequest",
      ));

    test("a form that does not end is refused", () =>
      isRefused(form(claim(id) + file()), malformed));

    test("what comes behind the end is refused", () =>
      isRefused(form(whole() + claim("AKIAOTHER") + file() + end), malformed));

    test.each([100, 200_000])("a claim behind a file of %i bytes is refused", (size) =>
      isRefused(
        form(claim(id) + file("BBB", size) + claim("AKIAOTHER") + end),
        "400 InvalidRequest",
      ),
    );

    test("another field behind the file is not", async () => {
      const body = claim(id) + file("BBB", 200_000) + named("submit", "send") + end;
      expect(answerOf(await raw(form(body)))).toBe("200 ok");
    });

    test("names that are not quoted texts are taken", async () => {
      const body = part("name=key", "k") + whole();
      expect(answerOf(await raw(form(body)))).toBe("200 ok");
    });

    test("a signature in a header as well is refused", () =>
      isRefused(
        form(
          claim("AKIAOTHER") + file() + end,
          "multipart/form-data; boundary=BBB",
          `Authorization: AWS4-HMAC-SHA256 Credential=${credential(id)}, SignedHeaders=host, Signature=0`,
        ),
        "400 InvalidRequest",
      ));

    test("another scheme in a header as well is refused", () =>
      isRefused(
        form(whole(), "multipart/form-data; boundary=BBB", "Authorization: Bearer x"),
        "400 InvalidRequest",
      ));

    test("an encoded body is refused", () =>
      isRefused(
        form(whole(), "multipart/form-data; boundary=BBB", "Content-Encoding: gzip"),
        malformed,
      ));
  });

  describe("in a list of keys to delete", () => {
    const object = "<Object><Key>a</Key></Object>";
    const list = (count: number, one = object) => `<Delete>${one.repeat(count)}</Delete>`;
    const post = (body: string | Buffer, ...others: string[]) => {
      const bytes = Buffer.from(body as string);
      const head = `POST /bucket?delete HTTP/1.1\r\n${withKey(
        `Content-Length: ${bytes.length}`,
        ...others,
      )}`;
      return Buffer.concat([Buffer.from(head), bytes]);
    };

    test.each<[string, string | Buffer, string[]]>([
      ["UTF-16", Buffer.from(`\ufeff${list(10)}`, "utf16le"), []],
      ["another encoding", `<?xml version="1.0" encoding="UTF-16"?>${list(1)}`, []],
      ["an encoding of the header", list(1), ["Content-Type: text/xml; charset=utf-16"]],
      ["another version of XML", `<?xml version="1.1"?>${list(1)}`, []],
      [
        "bytes that are not UTF-8",
        Buffer.concat([Buffer.from(list(1)), Buffer.from([0xc0, 0xaf])]),
        [],
      ],
      ["a zero byte", `${list(1)}\0`, []],
      [
        "entities",
        `<!DOCTYPE Delete [<!ENTITY e "${object.replaceAll("<", "&#60;")}">]>${list(1)}`,
        [],
      ],
      ["a compressed body", list(1), ["Content-Encoding: gzip"]],
      ["more keys than S3 takes", list(1_001), []],
      ["more bytes than S3 takes", list(1) + " ".repeat(2_100_000), []],
    ])("%s is refused", (_, body, others) => isRefused(post(body, ...others), "400 MalformedXML"));

    test.each([
      ["with a prefix", list(20, "<s:Object><s:Key>a</s:Key></s:Object>")],
      [
        "with a prefix beyond ASCII",
        `${list(20, "<é:Object><é:Key>a</é:Key></é:Object>")}<Key>a</Key>`,
      ],
      ["in lines", list(20, "<Object>\n<Key\n>a</Key></Object>")],
      ["in a comment, too", `<!--${list(20)}-->`],
      ["without an end of their own", list(20, "<Object><Key/></Object>")],
      ["in UTF-8 that says so", `\ufeff<?xml version="1.0" encoding="utf-8"?>${list(20)}`],
    ])("keys %s are counted", async (_, body) => {
      expect(answerOf(await raw(post(body)))).toBe("200 ok");
      await eventually(async () =>
        expect(Number((await charged(database, world)).tokens)).toBeGreaterThanOrEqual(100),
      );
    });
  });

  test.each(["private.s3.example.org.", "PRIVATE.s3.example.org.:80", "private.s3.example.org"])(
    "a host names its bucket: %s",
    async (host) => {
      const before = storage.requests.length;
      const response = await raw(
        `GET /public/k HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      );
      expect(response).toMatch(/^HTTP\/1.1 401 /);
      expect(storage.requests).toHaveLength(before);
    },
  );
});
