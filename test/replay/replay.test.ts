import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { operationOf } from "../../src/replay/operation-map.ts";
import type { ReplayOptions } from "../../src/replay/replay-command.ts";
import { type ReplayQuotas, replayWorld } from "../../src/replay/replay-world.ts";
import { answers, type Step } from "../model/answers.ts";
import type { World } from "../model/world.ts";
import { temporaryFile } from "./files.ts";
import { answered, replayed } from "./replayed.ts";

const HEADER = "offset_us,operation,size_bytes";
const defaults: ReplayOptions = { method: "token_bucket", from: "0", json: true };

interface Operation {
  readonly at: number;
  readonly kind: "read" | "write";
  readonly size: number;
}

/** Bursts and pauses, small and large, the same every time. */
function workload(): Operation[] {
  let state = 1;
  const next = (below: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
  let at = 0;
  return Array.from({ length: 500 }, (_, index) => {
    at += index % 50 === 0 ? 2_000_000 : next(30_000);
    return {
      at,
      kind: next(3) === 0 ? "write" : "read",
      size: next(4) === 0 ? next(300_000) : 512,
    };
  });
}

function traceOf(operations: readonly Operation[]): string {
  const lines = operations.map(({ at, kind, size }) => `${at},${kind},${size}`);
  return temporaryFile("trace.csv", `${[HEADER, ...lines].join("\n")}\n`);
}

function modelDecisions(quotas: ReplayQuotas, operations: readonly Operation[]): boolean[] {
  const world = replayWorld(new Date("2026-01-01T00:00:00Z"), quotas, ["-"]) as World;
  const steps: Step[] = operations.map(({ at, kind, size }) => ({
    at_us: at,
    call: "consume",
    app: "-",
    operation: operationOf({ operation: kind, hasClass: true }, BigInt(size)),
    size,
  }));
  return answers({ ...world, steps }).map(({ allowed }) => allowed as boolean);
}

function sha256(decisions: readonly boolean[]): string {
  const text = decisions.map((allowed) => (allowed ? "1" : "0")).join("");
  return createHash("sha256").update(text).digest("hex");
}

describe("a replay", () => {
  const operations = workload();

  it.each([
    ["token_bucket", "40:80:2", "200000:400000:1"],
    ["leaky_bucket", "30:60:1", "900000:900000:1"],
    ["fixed_window", "20:20:3", "150000:150000:1"],
  ] as const)("decides as the model does, by %s", async (method, iops, clusterBandwidth) => {
    const options = { ...defaults, method, iops, clusterBandwidth };
    const report = JSON.parse(await replayed(traceOf(operations), options));
    const of = (text: string) => {
      const [limit, burst, seconds] = text.split(":").map(Number) as [number, number, number];
      return { limit, burst, seconds };
    };
    const none = { bandwidth: null, clusterIops: null };
    const quotas = { ...none, method, iops: of(iops), clusterBandwidth: of(clusterBandwidth) };
    const decisions = modelDecisions(quotas, operations);
    const admitted = decisions.filter((allowed) => allowed).length;
    expect(admitted).toBeGreaterThan(50);
    expect(admitted).toBeLessThan(450);
    expect(report).toMatchObject({
      operations: 500,
      admitted,
      throttled: 500 - admitted,
      decisions_sha256: sha256(decisions),
    });
  });

  it("takes a part of the trace, each operation at its own time", async () => {
    const iops = { limit: 20, burst: 20, seconds: 3 };
    const quotas = { iops, bandwidth: null, clusterIops: null, clusterBandwidth: null };
    const method = "fixed_window";
    const options = { ...defaults, method, iops: "20:20:3", from: "120", limit: "200" };
    const report = JSON.parse(await replayed(traceOf(operations), options));
    const decisions = modelDecisions({ ...quotas, method }, operations.slice(120, 320));
    expect(report).toMatchObject({ operations: 200, decisions_sha256: sha256(decisions) });
  });

  it("admits everything where no quota is given, sizes up to the end of bigint", async () => {
    const path = temporaryFile("t.csv", `${HEADER}\n0,write,9223372036854775807\n5,read,1\n`);
    const report = await replayed(path, defaults);
    expect(report).toContain('"bytes_admitted":9223372036854775808,');
    expect(JSON.parse(report)).toMatchObject({ admitted: 2, throttled: 0 });
  });

  it("throttles a size that no quota could ever hold", async () => {
    const path = temporaryFile("t.csv", `${HEADER}\n0,write,9223372036854775807\n5,read,1\n`);
    const report = await replayed(path, { ...defaults, bandwidth: "1000:1000:1" });
    expect(JSON.parse(report)).toMatchObject({ admitted: 1, throttled: 1, bytes_admitted: 1 });
  });

  it("runs an access log at the times of its own", async () => {
    const entry = (second: string, request: string) =>
      `203.0.113.7 - - [31/Dec/1999:23:59:${second} +0000] "${request} HTTP/1.1" 200 10 "-" "x"`;
    const lines = [entry("59", "GET /b/1"), "junk", entry("58", "GET /b/2")];
    const path = temporaryFile("access.log", `${lines.join("\n")}\n`);
    const text = await replayed(path, { ...defaults, json: false, iops: "1:1:1" });
    expect(text).toMatch(
      /admitted +0 .*\n {2}throttled +2 .*\n.* 1\.000 s from 1999-12-31T23:59:58\.000000Z/,
    );
    expect(text).toContain("times              whole seconds");
    expect(text).toMatch(/bad lines +1 \(line 2: not in the combined/);
  });

  it("asks again for what was throttled, after the wait that it was told", async () => {
    const path = temporaryFile(
      "t.csv",
      `${HEADER}\n${"0,read,4096\n".repeat(3)}1500000,read,4096\n`,
    );
    const iops = { iops: "2:2:1" };
    const once = JSON.parse(await replayed(path, { ...defaults, ...iops }));
    expect(once).toMatchObject({ admitted: 2, throttled: 2, retries: { most: 0, asked: 0 } });
    // After a millisecond the second is admitted and the third is not; half a second later it is.
    const twice = JSON.parse(await replayed(path, { ...defaults, ...iops, retries: "1" }));
    expect(twice).toMatchObject({
      ...{ operations: 4, admitted: 3, throttled: 1 },
      retries: { most: 1, asked: 2, admitted: 1 },
    });
    const thrice = JSON.parse(await replayed(path, { ...defaults, ...iops, retries: "9" }));
    expect(thrice).toMatchObject({
      ...{ operations: 4, admitted: 4, throttled: 0 },
      retries: { most: 9, asked: 3, admitted: 2 },
    });
  });

  it("gives each user of a log the quota of its own", async () => {
    const line = (user: string) =>
      `h - ${user} [31/Dec/1999:23:59:58 +0000] "GET /b/a HTTP/1.1" 200 4096`;
    const log = temporaryFile("access.log", ["ann", "ann", "bob", "bob"].map(line).join("\n"));
    const quotas = temporaryFile("quotas.json", '{"ann": {"iops": "1:1:1"}}');
    const report = JSON.parse(await replayed(log, { ...defaults, by: "user", quotas }));
    expect(report.applications).toMatchObject([
      { application: "ann", admitted: 0, throttled: 2 },
      { application: "bob", admitted: 2, throttled: 0 },
    ]);
  });

  it("prices operations as it is told", async () => {
    const path = temporaryFile("t.csv", `${HEADER}\n0,read,10\n1,read,10\n`);
    const costs = temporaryFile(
      "costs.json",
      '{"read_small": {"c_base": 2, "unit_quantum": 10, "c_bw": 0.5}}',
    );
    const report = JSON.parse(await replayed(path, { ...defaults, costs }));
    expect(report.tokens_used).toBe("5.000000");
  });

  it("tells whether a larger share was throttled than may be", async () => {
    const path = temporaryFile("t.csv", `${HEADER}\n0,read,4096\n1,read,4096\n`);
    const options = { ...defaults, iops: "2:2:1" };
    expect((await answered(path, { ...options, failOver: "49.9%" })).isOver).toBe(true);
    expect((await answered(path, { ...options, failOver: "50%" })).isOver).toBe(false);
  });

  it.each([
    ["no JSON", "{"],
    ["an unknown member", '{"ann": {"iop": "1:1:1"}}'],
    ["a number", '{"ann": {"iops": 5}}'],
  ])("refuses quotas that are %s", async (_, text) => {
    const quotas = temporaryFile("quotas.json", text);
    await expect(replayed(traceOf(operations), { ...defaults, quotas })).rejects.toMatchObject({
      code: "file_invalid",
    });
  });

  it.each([
    [{ by: "mood" }, "bad_option"],
    [{ retries: "-1" }, "bad_option"],
    [{ failOver: "5" }, "bad_option"],
    [{ uploadSize: "big" }, "bad_option"],
    [{ iops: "10" }, "bad_option"],
    [{ method: "guess" }, "bad_option"],
    [{ from: "500" }, "bad_option"],
    [{ limit: "0" }, "bad_option"],
    [{ limit: "-1" }, "bad_option"],
  ])("refuses %j", async (options, code) => {
    const refused = replayed(traceOf(operations), { ...defaults, ...options });
    await expect(refused).rejects.toMatchObject({ code, hint: expect.stringMatching(/\w/) });
  });
});
