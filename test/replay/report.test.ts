import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { throttlingChart } from "../../src/replay/chart.ts";
import { jsonReport, textReport } from "../../src/replay/report.ts";
import { Tally } from "../../src/replay/tally.ts";

const MINUTE = 60_000_000n;

function tallied() {
  const tally = new Tally();
  const add = (offsetUs: bigint, size: bigint, allowed: boolean) =>
    tally.add({
      ...{ offsetUs, size, allowed, cost: "1.000001", application: "a" },
      ...{ index: 0, operation: "read_small", tries: 0, retryAfterUs: undefined, isLast: true },
    });
  add(10n, 100n, true);
  add(20n, 7n, false);
  add(30n, 7n, false);
  add(40n, 100n, true);
  add(MINUTE + 10n, 3n, false);
  add(MINUTE + 500_010n, 3n, false);
  return tally.totals();
}

const nothing = { iops: null, bandwidth: null, clusterIops: null, clusterBandwidth: null };

function replayed(totals = tallied()) {
  return {
    paths: ["some.csv"],
    retries: 0,
    recording: {
      formats: ["csv" as const],
      epoch: new Date("2026-01-01T00:00:00Z"),
      trace: undefined as never,
      findings: {
        skipped: new Map([["S3.EXPIRE.OBJECT", 4]]),
        givenBack: new Map([["not signed", 3]]),
        unknown: new Map([["uploads", 5]]),
        hasWholeSeconds: false,
        badLines: { count: 2, first: [{ trace: "some.csv", line: 9, reason: "no valid time" }] },
      },
    },
    quotas: {
      method: "token_bucket" as const,
      ...nothing,
      iops: { limit: 5, burst: 6, seconds: 7 },
    },
    totals,
  };
}

describe("a tally", () => {
  it("adds up operations, bytes and tokens exactly", () => {
    expect(tallied()).toMatchObject({
      admitted: 2,
      throttled: 4,
      bytesAdmitted: 200n,
      bytesThrottled: 20n,
      tokensUsed: 2_000_002n,
    });
  });

  it("takes the longest throttled stretch by its time", () => {
    const stretch = { operations: 2, fromUs: MINUTE + 10n, toUs: MINUTE + 500_010n };
    expect(tallied().longestThrottled).toEqual(stretch);
    expect(new Tally().totals().longestThrottled).toBeNull();
  });

  it("counts minutes from the first operation", () => {
    expect(tallied().minutes).toEqual([
      { minute: 0, admitted: 2, throttled: 2 },
      { minute: 1, admitted: 0, throttled: 2 },
    ]);
  });

  it("hashes a character for each decision", () => {
    const expected = createHash("sha256").update("100100").digest("hex");
    expect(tallied().decisionsSha256).toBe(expected);
  });
});

describe("the chart", () => {
  it("has a row an hour and a character a minute", () => {
    const rows = throttlingChart([
      { minute: 0, admitted: 5, throttled: 0 },
      { minute: 1, admitted: 1, throttled: 1 },
      { minute: 2, admitted: 0, throttled: 3 },
      { minute: 185, admitted: 99, throttled: 1 },
    ]);
    expect(rows).toEqual([
      `    0h |·▅█${" ".repeat(57)}|`,
      `    3h |${" ".repeat(5)}▁${" ".repeat(54)}|`,
    ]);
  });

  it("stays small for a trace of many days", () => {
    const hours = Array.from({ length: 100 }, (_, hour) => ({
      minute: hour * 60,
      admitted: 1,
      throttled: 0,
    }));
    expect(throttlingChart(hours)).toHaveLength(49);
    expect(throttlingChart(hours).at(-1)).toContain("52 more hours");
  });
});

describe("the report", () => {
  it("is one JSON object with every figure", () => {
    expect(JSON.parse(jsonReport(replayed()))).toEqual({
      traces: [{ path: "some.csv", format: "csv" }],
      quotas: {
        method: "token_bucket",
        iops: { limit: 5, burst: 6, seconds: 7 },
        bandwidth: null,
        cluster_iops: null,
        cluster_bandwidth: null,
      },
      operations: 6,
      admitted: 2,
      throttled: 4,
      bytes_admitted: 200,
      bytes_throttled: 20,
      tokens_used: "2.000002",
      longest_throttled: {
        operations: 2,
        from: "2026-01-01T00:01:00.000010Z",
        to: "2026-01-01T00:01:00.500010Z",
        duration_us: 500000,
      },
      throttled_by_minute: [
        { minute: 0, admitted: 2, throttled: 2 },
        { minute: 1, admitted: 0, throttled: 2 },
      ],
      retries: { most: 0, asked: 0, admitted: 0 },
      applications: [
        {
          ...{ application: "a", admitted: 2, throttled: 4 },
          ...{ bytes_admitted: 200, bytes_throttled: 20 },
          longest_throttled: {
            operations: 2,
            from: "2026-01-01T00:01:00.000010Z",
            to: "2026-01-01T00:01:00.500010Z",
            duration_us: 500000,
          },
        },
      ],
      spread_over_seconds: false,
      skipped: { "S3.EXPIRE.OBJECT": 4 },
      given_back: { "not signed": 3 },
      unknown: { uploads: 5 },
      bad_lines: {
        count: 2,
        first: [{ trace: "some.csv", line: 9, reason: "no valid time" }],
      },
      decisions_sha256: tallied().decisionsSha256,
    });
  });

  it("writes integers whole, however large", () => {
    const huge = { ...tallied(), bytesAdmitted: 9_223_372_036_854_775_807n };
    expect(jsonReport(replayed(huge))).toContain('"bytes_admitted":9223372036854775807,');
  });

  it("reads well on a terminal", () => {
    const text = textReport(replayed({ ...tallied(), tokensUsed: 1_234_567_000_001n }));
    expect(text).toContain("iops               limit 5, burst 6 for 7 s, token_bucket");
    expect(text).toContain("admitted           2 (33.3% of operations), 200 bytes (90.9%)");
    expect(text).toContain(
      "longest throttled  0.500 s from 2026-01-01T00:01:00.000010Z, 2 operations",
    );
    expect(text).toContain("tokens used        1,234,567.000001");
    expect(text).toContain("skipped            4 S3.EXPIRE.OBJECT");
    expect(text).toContain("given back         3 not signed");
    expect(text).toContain("not in the log     5 uploads");
    expect(text).toContain("bad lines          2 (line 9: no valid time; …)");
  });
});
