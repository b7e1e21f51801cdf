import { describe, expect, it } from "vitest";
import { readTrace } from "../../src/replay/read-trace.ts";
import { temporaryFile } from "./files.ts";

function entry(time: string, request: string, bytes: string | number): string {
  return `203.0.113.7 - frank [${time}] "${request}" 200 ${bytes} "-" "agent \\"x\\" 1.0"`;
}

async function read(...lines: string[]) {
  const recording = await readTrace(temporaryFile("access.log", `${lines.join("\n")}\n`));
  const { trace, epoch } = recording;
  const operations = Array.from({ length: trace.length }, (_, index) => {
    const at = new Date(epoch.getTime() + Number(trace.offsetUs(index)) / 1000);
    return [at.toISOString(), trace.operation(index), trace.size(index)];
  });
  return { ...recording, operations };
}

describe("an access log", () => {
  it("turns methods into operations, at each request's own time", async () => {
    const { format, operations } = await read(
      entry("10/Oct/2025:13:55:36 -0700", "GET /a HTTP/1.1", 4096),
      entry("10/Oct/2025:20:55:37 +0000", "HEAD /a HTTP/1.1", "-"),
      entry("10/Oct/2025:20:55:38 +0000", "PUT /a HTTP/1.1", 65537),
      entry("10/Oct/2025:20:55:39 +0000", "POST /a b HTTP/1.1", 5000),
      entry("10/Oct/2025:20:55:40 +0000", "DELETE /a HTTP/2.0", 12),
    );
    expect(format).toBe("access_log");
    expect(operations).toEqual([
      ["2025-10-10T20:55:36.000Z", "read_small", 4096n],
      ["2025-10-10T20:55:37.000Z", "head", 0n],
      ["2025-10-10T20:55:38.000Z", "write_large", 65537n],
      ["2025-10-10T20:55:39.000Z", "write_medium", 5000n],
      ["2025-10-10T20:55:40.000Z", "delete", 12n],
    ]);
  });

  it("takes records in time order, and equal times in file order", async () => {
    const { operations } = await read(
      entry("10/Oct/2025:00:00:02 +0000", "GET /3 HTTP/1.1", 3),
      entry("10/Oct/2025:00:00:01 +0000", "GET /1 HTTP/1.1", 1),
      entry("10/Oct/2025:00:00:02 +0000", "GET /4 HTTP/1.1", 4),
      entry("10/Oct/2025:00:00:01 +0000", "GET /2 HTTP/1.1", 2),
    );
    expect(operations.map(([, , size]) => size)).toEqual([1n, 2n, 3n, 4n]);
  });

  it("counts other methods as skipped", async () => {
    const time = "10/Oct/2025:00:00:01 +0000";
    const { operations, leftovers } = await read(
      entry(time, "OPTIONS * HTTP/1.1", 0),
      entry(time, "GET / HTTP/1.1", 1),
      entry(time, "OPTIONS * HTTP/1.1", 0),
      entry(time, "PROPFIND / HTTP/1.1", 0),
    );
    expect(operations).toHaveLength(1);
    expect([...leftovers.skipped]).toEqual([
      ["OPTIONS", 2],
      ["PROPFIND", 1],
    ]);
    expect(leftovers.badLines.count).toBe(0);
  });

  it("counts and names bad lines and goes on", async () => {
    const good = entry("10/Oct/2025:00:00:01 +0000", "GET / HTTP/1.1", 1);
    const { operations, leftovers } = await read(
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
    expect(leftovers.badLines).toEqual({
      count: 7,
      first: [
        { line: 1, reason: "not in the combined log format" },
        { line: 3, reason: "no valid time" },
        { line: 4, reason: "no valid time" },
        { line: 5, reason: "no valid request" },
        { line: 6, reason: "no valid request" },
        { line: 7, reason: "size too large" },
        { line: 8, reason: "not in the combined log format" },
      ],
    });
  });

  it.each(["0050", "1969", "2256", "9999"])("has no time in the year %s", async (year) => {
    const { operations, leftovers } = await read(
      entry("10/Oct/2025:00:00:01 +0000", "GET / HTTP/1.1", 1),
      entry(`10/Oct/${year}:00:00:01 +0000`, "GET / HTTP/1.1", 1),
    );
    expect(operations).toHaveLength(1);
    expect(leftovers.badLines.first).toEqual([{ line: 2, reason: "no valid time" }]);
  });

  it("names only the first of very many bad lines", async () => {
    const good = entry("10/Oct/2025:00:00:01 +0000", "GET / HTTP/1.1", 1);
    const { leftovers } = await read(good, ...Array<string>(100).fill("garbage"));
    expect(leftovers.badLines.count).toBe(100);
    expect(leftovers.badLines.first).toHaveLength(20);
  });

  it("is refused when no line of it is a request that touches data", async () => {
    const only = entry("10/Oct/2025:00:00:01 +0000", "OPTIONS * HTTP/1.1", 0);
    await expect(read(only)).rejects.toMatchObject({ code: "trace_empty" });
    await expect(read("garbage", "more of it")).rejects.toMatchObject({
      code: "trace_unrecognized",
    });
  });
});
