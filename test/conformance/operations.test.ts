import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { chargeOf, unsignedCodes } from "../../src/replay/charge-of.ts";
import { noFindings } from "../../src/replay/findings.ts";
import { ruleOf } from "../../src/replay/operation-map.ts";
import { hasLua } from "./lua.ts";

type Asked = readonly [
  method: string,
  path: string,
  query: string | null,
  received: number,
  answered: number,
];
type Answer = readonly [operation: string, size: number, countsKeys: boolean];

/** By the gateway's own modules, outside nginx. */
function inLua<A>(script: string, asked: readonly unknown[]): A {
  const path = projectPath("src/gateway/lua/?.lua");
  const { stdout, stderr, status } = spawnSync(
    "luajit",
    [projectPath(`test/conformance/${script}.lua`)],
    { input: JSON.stringify(asked), env: { ...process.env, LUA_PATH: `${path};;` } },
  );
  if (status !== 0) throw new Error(String(stderr));
  return JSON.parse(String(stdout));
}

const nowhere = {
  ...{ atUs: 0n, isWholeSecond: false, path: "/b/o", query: undefined, received: 0n, answered: 0n },
  ...{ user: undefined, address: undefined, key: undefined, bucket: undefined },
};
const reading = { uploadSize: 0n, refund5xx: false, group: undefined };

function inReplay([method, path, query, received, answered]: Asked): Answer {
  const request = { method, path, query: query ?? undefined };
  const sizes = { answered: BigInt(answered), received: BigInt(received) };
  const charge = chargeOf(
    { ...nowhere, ...request, ...sizes, status: 200, error: undefined },
    reading,
    noFindings(),
  );
  const { countsKeys = false } = ruleOf(method, path, request.query);
  return [charge?.operation ?? "none", Number(charge?.size), countsKeys];
}

describe.skipIf(!hasLua)("a request is the same operation to replay and to the gateway", () => {
  test("whatever its method, path, query and sizes", () => {
    const methods = [
      "GET",
      "HEAD",
      "PUT",
      "POST",
      "PATCH",
      "DELETE",
      "COPY",
      "OPTIONS",
      "PROPFIND",
    ];
    const paths = ["/", "/b", "/b/", "/b/o", "/b/o/", "/b//o", "//b", "/b/o/p"];
    const queries = [null, "", "delete", "delete=", "x=1&delete", "deleted", "uploads", "DELETE"];
    const size = fc.oneof(fc.constantFrom(0, 1, 4_096, 4_097, 65_536, 65_537), fc.nat(2 ** 40));
    const asked: readonly Asked[] = fc.sample(
      fc.tuple(
        fc.constantFrom(...methods),
        fc.constantFrom(...paths),
        fc.constantFrom(...queries),
        size,
        size,
      ),
      { numRuns: 3_000, seed: 9 },
    );
    const answers = inLua<readonly Answer[]>("operations", asked);
    expect(new Set(answers.map(([operation]) => operation)).size).toBe(9);
    expect(asked.map((each) => [each, inReplay(each)])).toEqual(
      asked.map((each, place) => [each, answers[place]]),
    );
  });

  test("not signed by the same answers of the storage", () => {
    const codes = [...unsignedCodes, "NoSuchKey", "InvalidRequest", "SlowDown", null];
    const answers = ["GET", "PUT"].flatMap((method) =>
      [200, 400, 401, 403, 404, 503].flatMap((status) =>
        codes.map((code) => [method, status, code] as const),
      ),
    );
    const said = inLua<{ codes: string[]; is_unsigned: boolean[] }>("verdicts", answers);
    expect(said.codes.sort()).toEqual([...unsignedCodes].sort());
    const inReplay = answers.map(([method, status, code]) => {
      const entry = { ...nowhere, method, status, error: code ?? undefined };
      return chargeOf(entry, reading, noFindings()) === undefined;
    });
    expect(inReplay).toEqual(said.is_unsigned);
    expect(new Set(inReplay).size).toBe(2);
  });
});
