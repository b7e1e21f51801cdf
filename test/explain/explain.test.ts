import { beforeAll, describe, expect, test } from "vitest";
import { explainedCalls } from "../../src/explain/calls.ts";
import { explainCall } from "../../src/explain/explain-call.ts";
import { makeExplainedWorld } from "../../src/explain/explain-command.ts";
import { explainedStatement } from "../../src/explain/explained-statement.ts";
import { explainReport } from "../../src/explain/report.ts";
import { runCli } from "../cli/run-cli.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
beforeAll(() => makeExplainedWorld(database.sql, 5));

test.each(Object.keys(explainedCalls))("explain shows what %s runs", async (name) => {
  const statements = await explainCall(database.url, name);
  const call = statements.at(-1);
  expect(call?.query).toContain(`rate_limiter.${name}(`);
  expect(call?.place).toBeNull();
  const inside = statements.slice(0, -1);
  expect(inside.length).toBeGreaterThan(2);
  for (const { place, query, plan } of inside) {
    expect(place).toMatch(/^[\w.]+:\d+$/);
    expect(query).not.toBe("");
    expect(plan).toMatch(/\(cost=.*actual time=/);
  }
  // What the call cost includes what its statements cost.
  const outermost = inside.filter(({ depth }) => depth === 1);
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  expect(call?.buffers).toBeGreaterThanOrEqual(sum(outermost.map(({ buffers }) => buffers)));
  if (name === "check_limit") expect(call?.walBytes).toBe(0);
  else expect(call?.walBytes).toBeGreaterThan(100);
});

describe("the report", () => {
  const statement = explainedStatement({
    message: [
      "duration: 0.012 ms  plan:",
      "Query Text: update t",
      "set a = 1",
      "Update on t  (cost=0.00..1.00 rows=0 width=0) (actual time=0.010..0.010 rows=0.00 loops=1)",
      "  Buffers: shared hit=3 read=1, temp read=7",
      "  WAL: records=2 fpi=1 bytes=136",
      "  ->  Seq Scan on t  (cost=0.00..1.00 rows=1 width=4) (actual time=0.001..0.001 rows=1.00 loops=1)",
      "        Buffers: shared hit=2",
    ].join("\n"),
    where: [
      'SQL statement "update t"',
      "PL/pgSQL function rate_limiter_internal.settle_at(timestamp with time zone) line 36 at SQL statement",
      "PL/pgSQL function rate_limiter.settle(uuid,text,bigint) line 5 at RETURN",
    ].join("\n"),
  });

  test("a statement is known by its function and line, with its own counts", () => {
    expect(statement).toMatchObject({
      ...{ place: "settle_at:36", depth: 2, query: "update t\nset a = 1", ms: 0.012 },
      ...{ buffers: 4, walRecords: 2, walBytes: 136 },
    });
  });

  test("the report has one line for each statement, and its plan only where it is asked for", () => {
    const statements = statement === undefined ? [] : [statement];
    const table = explainReport(statements, false);
    expect(table.split("\n")).toHaveLength(2);
    expect(table).toMatch(/^ {2}1 +0\.012 +4 +2 +136 +settle_at:36$/m);
    expect(explainReport(statements, true)).toContain("    Update on t  (cost=");
  });

  test("a notice of another kind is not a statement", () => {
    expect(explainedStatement({ message: "relation exists, skipping" })).toBeUndefined();
  });
});

test("npm run explain prints the statements of a decision", async () => {
  const { code, stdout } = await runCli(["explain", "consume", "--no-plans"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/ the call\n$/);
});

test("npm run explain refuses a call that it does not know, and names those that it knows", async () => {
  const { code, stderr } = await runCli(["explain", "guess"]);
  expect(code).toBe(2);
  for (const name of Object.keys(explainedCalls)) expect(stderr).toContain(name);
});
