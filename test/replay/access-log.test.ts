import { describe, expect, it } from "vitest";
import type { Reading } from "../../src/replay/charge-of.ts";
import { readTraces } from "../../src/replay/read-trace.ts";
import { temporaryFile } from "./files.ts";

function entry(time: string, request: string, bytes: string | number, rest = ""): string {
  return `203.0.113.7 - frank [${time}] "${request}" 200 ${bytes} "-" "agent \\"x\\" 1.0"${rest}`;
}

const usual: Reading = { uploadSize: 65_536n, refund5xx: false, group: undefined };

async function readFiles(contents: readonly string[], reading: Partial<Reading> = {}) {
  const paths = contents.map((content) => temporaryFile("access.log", content));
  const recording = await readTraces(paths, { ...usual, ...reading });
  const { trace, epoch } = recording;
  const operations = Array.from({ length: trace.length }, (_, index) => {
    const at = new Date(epoch.getTime() + Number(trace.offsetUs(index)) / 1000);
    return [at.toISOString(), trace.operation(index), trace.size(index)];
  });
  const applications = operations.map((_, index) => trace.application(index));
  return { ...recording, operations, applications };
}

const read = (...lines: string[]) => readFiles([`${lines.join("\n")}\n`]);
const charges = async (...lines: string[]) =>
  (await read(...lines)).operations.map(([, operation, size]) => `${operation} ${size}`);

describe("an access log", () => {
  it("turns requests into the operations that the gateway charges, each at its own time", async () => {
    const { formats, operations, findings } = await read(
      entry("10/Oct/2025:13:55:36 -0700", "GET /b/a HTTP/1.1", 4096),
      entry("10/Oct/2025:20:55:37 +0000", "HEAD /b/a HTTP/1.1", "-"),
      entry("10/Oct/2025:20:55:38 +0000", "PUT /b/a HTTP/1.1", 10, " request_length=65537"),
      entry("10/Oct/2025:20:55:39 +0000", "POST /b/a b HTTP/1.1", 10, ' "request_length=5000"'),
      entry("10/Oct/2025:20:55:40 +0000", "DELETE /b/a HTTP/2.0", 12),
      entry("10/Oct/2025:20:55:41 +0000", "GET /b?prefix=x HTTP/1.1", 700),
      entry("10/Oct/2025:20:55:42 +0000", "OPTIONS /b HTTP/1.1", 0),
      entry("10/Oct/2025:20:55:43 +0000", "PATCH /b/a HTTP/1.1", 0, " request_length=7"),
      entry("10/Oct/2025:20:55:44 +0000", "POST /b/?delete HTTP/1.1", 5, " request_length=900"),
      entry("10/Oct/2025:20:55:45 +0000", "PROPFIND /b/a HTTP/1.1", 5),
    );
    expect(formats).toEqual(["access_log"]);
    expect(operations).toEqual([
      ["2025-10-10T20:55:36.000Z", "read_small", 4096n],
      ["2025-10-10T20:55:37.000Z", "head", 0n],
      ["2025-10-10T20:55:38.000Z", "write_large", 65537n],
      ["2025-10-10T20:55:39.000Z", "write_medium", 5000n],
      ["2025-10-10T20:55:40.000Z", "delete", 0n],
      ["2025-10-10T20:55:41.000Z", "list", 700n],
      ["2025-10-10T20:55:42.000Z", "head", 0n],
      ["2025-10-10T20:55:43.000Z", "write_small", 7n],
      ["2025-10-10T20:55:44.000Z", "delete", 900n],
      ["2025-10-10T20:55:45.000Z", "head", 0n],
    ]);
    expect([...findings.unknown]).toEqual([["deletions of many keys: each charged as one key", 1]]);
  });

  it("takes an upload without a size for what is said, and tells how many", async () => {
    const time = "10/Oct/2025:00:00:01 +0000";
    const { operations, findings } = await read(entry(time, "PUT /b/a HTTP/1.1", 9));
    expect(operations.map(([, ...rest]) => rest)).toEqual([["write_medium", 65_536n]]);
    expect([...findings.unknown.values()]).toEqual([1]);
  });

  it("takes records in time order, those of one second in file order at even distances", async () => {
    const { operations, findings } = await read(
      entry("10/Oct/2025:00:00:02 +0000", "GET /b/3 HTTP/1.1", 3),
      entry("10/Oct/2025:00:00:01 +0000", "GET /b/1 HTTP/1.1", 1),
      entry("10/Oct/2025:00:00:02 +0000", "GET /b/4 HTTP/1.1", 4),
      entry("10/Oct/2025:00:00:01 +0000", "GET /b/2 HTTP/1.1", 2),
    );
    expect(operations.map(([at, , size]) => `${String(at).slice(17)} ${size}`)).toEqual([
      ...["01.000Z 1", "01.500Z 2", "02.000Z 3", "02.500Z 4"],
    ]);
    expect(findings.hasWholeSeconds).toBe(true);
  });

  it("charges as the gateway does what was refused and what failed", async () => {
    const time = "10/Oct/2025:00:00:01 +0000";
    const answered = (status: number) => `h - - [${time}] "GET /b/a HTTP/1.1" ${status} 100`;
    const lines = [200, 401, 403, 404, 429, 499, 500, 503].map(answered).join("\n");
    const all = await readFiles([lines]);
    expect(all.operations).toHaveLength(7);
    expect([...all.findings.givenBack]).toEqual([["not signed", 1]]);
    expect([...all.findings.unknown.values()]).toEqual([1]);
    const refunded = await readFiles([lines], { refund5xx: true });
    expect(refunded.operations).toHaveLength(5);
    expect([...refunded.findings.givenBack]).toEqual([
      ["not signed", 1],
      ["failed in the storage", 2],
    ]);
  });

  it("reads a line whose beginning can be read, whatever follows", async () => {
    const head = 'h - - [10/Oct/2025:00:00:01 +0000] "GET /b/a HTTP/1.1" 200 1';
    expect(await charges(head, `${head} 0.004 "x`, `${head} - - \\x16 "`)).toHaveLength(3);
  });

  it("counts and names bad lines and goes on", async () => {
    const good = entry("10/Oct/2025:00:00:01 +0000", "GET /b/a HTTP/1.1", 1);
    const { operations, findings } = await read(
      "garbage",
      good,
      entry("31/Feb/2025:00:00:01 +0000", "GET / HTTP/1.1", 1),
      entry("10/Oct/2025:24:00:01 +0000", "GET / HTTP/1.1", 1),
      entry("10/Oct/2025:00:00:01 +0000", "-", 1),
      entry("10/Oct/2025:00:00:01 +0000", "\\x16\\x03\\x01", 1),
      entry("10/Oct/2025:00:00:01 +0000", "GET / HTTP/1.1", "99999999999999999999"),
      entry("10/Oct/2025:00:00:01 +0000", "GET / HTTP/1.1", -5),
      "",
      good,
    );
    expect(operations).toHaveLength(2);
    expect(findings.badLines.count).toBe(7);
    expect(findings.badLines.first.map(({ line, reason }) => `${line}: ${reason}`)).toEqual([
      "1: not in the combined log format",
      "3: no valid time",
      "4: no valid time",
      "5: no valid request",
      "6: no valid request",
      "7: size too large",
      "8: not in the combined log format",
    ]);
  });

  it.each(["0050", "1969", "2256", "9999"])("has no time in the year %s", async (year) => {
    const { operations, findings } = await read(
      entry("10/Oct/2025:00:00:01 +0000", "GET / HTTP/1.1", 1),
      entry(`10/Oct/${year}:00:00:01 +0000`, "GET / HTTP/1.1", 1),
    );
    expect(operations).toHaveLength(1);
    expect(findings.badLines.first).toMatchObject([{ line: 2, reason: "no valid time" }]);
  });

  it("names only the first of very many bad lines", async () => {
    const good = entry("10/Oct/2025:00:00:01 +0000", "GET / HTTP/1.1", 1);
    const { findings } = await read(good, ...Array<string>(100).fill("garbage"));
    expect(findings.badLines.count).toBe(100);
    expect(findings.badLines.first).toHaveLength(20);
  });

  it("is refused when no line of it is a request that is charged", async () => {
    const only = 'h - - [10/Oct/2025:00:00:01 +0000] "GET /b/a HTTP/1.1" 401 1';
    await expect(read(only)).rejects.toMatchObject({ code: "trace_empty" });
    await expect(read("garbage", "more of it")).rejects.toMatchObject({
      code: "trace_unrecognized",
    });
  });

  it("is one of several, merged by their times, with an application for each user", async () => {
    const line = (second: string, user: string) =>
      `h - ${user} [10/Oct/2025:00:00:${second} +0000] "GET /b/a HTTP/1.1" 200 1`;
    const files = [`${line("01", "ann")}\n${line("03", "bob")}\n`, `${line("02", "-")}\n`];
    const { operations, applications } = await readFiles(files, { group: "user" });
    expect(operations.map(([at]) => String(at).slice(17, 19))).toEqual(["01", "02", "03"]);
    expect(applications).toEqual(["ann", "-", "bob"]);
    const csv = "offset_us,operation,size_bytes\n0,read,1\n";
    await expect(readFiles([...files, csv])).rejects.toMatchObject({ code: "trace_mixed" });
  });
});

describe("a log of JSON lines", () => {
  const line = (fields: object) => JSON.stringify(fields);

  it("has requests by the names that servers give them", async () => {
    const { formats, operations, findings } = await read(
      line({
        ...{ time_iso8601: "2025-10-10T20:55:36.250+00:00", request: "GET /b/a HTTP/1.1" },
        ...{ status: "200", body_bytes_sent: "4097" },
      }),
      line({ msec: 1760129737.5, request_method: "PUT", uri: "/b/a", request_length: 10 }),
      line({ time: 1760129738250, method: "post", path: "/b", args: "delete", bytes: 4 }),
      line({ time: "10/Oct/2025:20:55:39 +0000", method: "HEAD", url: "https://h/b/a" }),
    );
    expect(formats).toEqual(["json_lines"]);
    expect(operations).toEqual([
      ["2025-10-10T20:55:36.250Z", "read_medium", 4097n],
      ["2025-10-10T20:55:37.500Z", "write_small", 10n],
      ["2025-10-10T20:55:38.250Z", "delete", 65_536n],
      ["2025-10-10T20:55:39.000Z", "head", 0n],
    ]);
    expect(findings.hasWholeSeconds).toBe(false);
  });

  it("names what is bad of a line", async () => {
    const good = line({ time: 1, method: "GET", uri: "/b/a", status: 200 });
    const { findings } = await read(
      good,
      "{",
      "[]",
      line({ method: "GET", uri: "/" }),
      line({ time: 1 }),
      line({ time: 1, method: "GET", uri: "/", bytes: "many" }),
    );
    expect(findings.badLines.first.map(({ line: at, reason }) => `${at}: ${reason}`)).toEqual([
      ...["2: no JSON object", "3: no JSON object", "4: no valid time"],
      ...["5: no valid request", "6: size too large"],
    ]);
  });

  it("has an application for each key", async () => {
    const signed = "/b/a?X-Amz-Credential=AKIA1%2F20260101%2Fr%2Fs3%2Faws4_request";
    const { applications } = await readFiles(
      [
        [
          line({ time: 1.5, method: "GET", uri: signed }),
          line({ time: 2, method: "GET", uri: "/b/a", access_key: "AKIA2" }),
        ].join("\n"),
      ],
      { group: "key" },
    );
    expect(applications).toEqual(["AKIA1", "AKIA2"]);
  });
});

describe("S3's server access log", () => {
  const line = (operation: string, key: string, more: string) =>
    `owner bucket [06/Feb/2019:00:00:38 +0000] 192.0.2.3 arn:aws:iam::1:user/ann 3E57 ${operation} ${key} ${more} 7 - "-" "agent "quoted"" - x SigV4`;

  it("says the operation and the size of what was uploaded, copied and deleted", async () => {
    const { formats, operations, findings } = await read(
      line("REST.PUT.OBJECT", "a", '"PUT /bucket/a HTTP/1.1" 200 - - 65537 10'),
      line("REST.GET.OBJECT", "a", '"GET /bucket/a HTTP/1.1" 206 - 100 65537 10'),
      line("REST.GET.BUCKET", "-", '"GET /bucket?prefix=a HTTP/1.1" 200 - 700 - 10'),
      line("REST.COPY.OBJECT_GET", "a", "- 200 - - 5000 10"),
      line("REST.COPY.OBJECT", "b", '"PUT /bucket/b HTTP/1.1" 200 - 200 5000 10'),
      line("REST.POST.MULTI_OBJECT_DELETE", "-", '"POST /bucket?delete HTTP/1.1" 200 - 99 - 10'),
      line("BATCH.DELETE.OBJECT", "a", "- 204 - - 65537 -"),
      line("REST.POST.UPLOAD", "c", '"POST /bucket/c?uploadId=1 HTTP/1.1" 200 - 300 9999999 10'),
      line("S3.EXPIRE.OBJECT", "d", "- - - - 1 -"),
      line("REST.GET.OBJECT", "a", '"GET /bucket/a HTTP/1.1" 403 SignatureDoesNotMatch 300 - 10'),
      line("REST.GET.OBJECT", "a", '"GET /bucket/a HTTP/1.1" 403 AccessDenied 300 - 10'),
    );
    expect(formats).toEqual(["s3_access_log"]);
    expect(operations.map(([, operation, size]) => `${operation} ${size}`)).toEqual([
      ...["write_large 65537", "read_small 100", "list 700", "write_medium 5000"],
      ...["delete 0", "write_small 0", "read_small 300"],
    ]);
    expect([...findings.skipped]).toEqual([
      ["REST.COPY.OBJECT_GET", 1],
      ["deletion of keys that follow one by one", 1],
      ["S3.EXPIRE.OBJECT", 1],
    ]);
    expect([...findings.givenBack]).toEqual([["not signed", 1]]);
    // The log does not have the message of AccessDenied.
    expect([...findings.unknown.values()]).toEqual([1]);
  });
});
