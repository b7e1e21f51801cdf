import { dirname } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { readTraces } from "../../src/replay/read-trace.ts";
import { temporaryFile } from "./files.ts";

const HEADER = "offset_us,operation,size_bytes";

const readTrace = (path: string) =>
  readTraces([path], { uploadSize: 0n, refund5xx: false, group: undefined });

function operations(trace: Awaited<ReturnType<typeof readTrace>>["trace"]) {
  return Array.from({ length: trace.length }, (_, index) => [
    trace.offsetUs(index),
    trace.operation(index),
    trace.size(index),
  ]);
}

async function refusal(content: string | Buffer): Promise<unknown> {
  return readTrace(temporaryFile("trace.csv", content)).catch((error: unknown) => error);
}

describe("a block trace", () => {
  const text = [
    HEADER,
    "0,read,0",
    "0,read,4096",
    "7,write,4097",
    "7,write,65536",
    "9,read,65537",
    "9,list,5",
    "9,delete,5",
  ];
  const read = [
    [0n, "read_small", 0n],
    [0n, "read_small", 4096n],
    [7n, "write_medium", 4097n],
    [7n, "write_medium", 65536n],
    [9n, "read_large", 65537n],
    [9n, "list", 5n],
    [9n, "delete", 5n],
  ];

  it("names operations by kind and size, and counts from 2026", async () => {
    const { trace, epoch, formats } = await readTrace(temporaryFile("t", text.join("\n")));
    expect(operations(trace)).toEqual(read);
    expect([formats, epoch.toISOString()]).toEqual([["csv"], "2026-01-01T00:00:00.000Z"]);
  });

  it("is told to be gzip by its content, not by its name", async () => {
    const { trace } = await readTrace(temporaryFile("t.csv", gzipSync(text.join("\n"))));
    expect(operations(trace)).toEqual(read);
  });

  it("may end its lines as Windows does and begin with a byte order mark", async () => {
    const { trace } = await readTrace(temporaryFile("t", `\ufeff${text.join("\r\n")}\r\n`));
    expect(operations(trace)).toEqual(read);
  });

  it("reads sizes up to the end of bigint", async () => {
    const path = temporaryFile("t", `${HEADER}\n0,write,9223372036854775807\n`);
    const { trace } = await readTrace(path);
    expect(trace.size(0)).toBe(9_223_372_036_854_775_807n);
  });

  it("reads lines that fall across the chunks of the file", async () => {
    const lines = Array.from({ length: 30_000 }, (_, index) => `${index},read,${index}`);
    const { trace } = await readTrace(temporaryFile("t", `${HEADER}\n${lines.join("\n")}`));
    expect(trace.length).toBe(30_000);
    expect(trace.offsetUs(29_999)).toBe(29_999n);
  });

  it.each([
    ["trace_clock_steps_back", `${HEADER}\n5,read,1\n4,read,1\n`, /line 3 .* 4 us, after one at 5/],
    ["trace_bad_size", `${HEADER}\n0,read,-1\n`, /line 2 .*size_bytes/],
    ["trace_bad_size", `${HEADER}\n0,read,NaN\n`, /line 2 .*size_bytes/],
    ["trace_bad_size", `${HEADER}\n0,read,\n`, /line 2 .*size_bytes/],
    ["trace_bad_size", `${HEADER}\n0,read,9223372036854775808\n`, /line 2 .*size_bytes/],
    ["trace_bad_offset", `${HEADER}\n1e3,read,1\n`, /line 2 .*offset_us/],
    ["trace_bad_offset", `${HEADER}\n9007199254740992,read,1\n`, /line 2 .*offset_us/],
    ["trace_bad_line", `${HEADER}\n0,read\n`, /line 2 .* 2 fields/],
    ["trace_bad_line", `${HEADER}\n0,toString,1\n`, /line 2 .*operation/],
    ["trace_empty", `${HEADER}\n`, /no operation/],
    ["trace_empty", "", /no operation/],
    ["trace_unrecognized", "0,read,4096\n", /no known format/],
    ["trace_unrecognized", "x".repeat(3_000_000), /no end/],
  ])("is refused with %s", async (code, content, message) => {
    const hint = expect.stringMatching(/\w/);
    expect(await refusal(content)).toMatchObject({
      code,
      message: expect.stringMatching(message),
      hint,
    });
  });

  it("is refused when its gzip ends early or is damaged", async () => {
    const lines = Array.from({ length: 5_000 }, (_, index) => `${index},read,${index * 7919}`);
    const whole = gzipSync(`${HEADER}\n${lines.join("\n")}\n`);
    const damaged = Buffer.from(whole);
    damaged.fill(0xff, 2_000, 2_200);
    expect(await refusal(whole.subarray(0, whole.length - 1_000))).toMatchObject({
      code: "trace_truncated",
    });
    expect(await refusal(damaged)).toMatchObject({ code: "trace_corrupt" });
  });

  it("is refused when it cannot be read", async () => {
    const path = temporaryFile("t", "");
    const missing = readTrace(`${path}.not-there`);
    await expect(missing).rejects.toMatchObject({
      code: "trace_unreadable",
      message: expect.stringContaining("ENOENT"),
    });
    const folder = readTrace(dirname(path));
    await expect(folder).rejects.toMatchObject({ code: "trace_unreadable" });
  });
});
