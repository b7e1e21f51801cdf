import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { sixDigits } from "../../../src/vectors/amount.ts";
import { createDatabase } from "../../harness/index.ts";
import { micro } from "../../model/amounts.ts";
import { type Answer, Play, run, type Scenario, type Step } from "../../model/answers.ts";
import { OPERATIONS, scenarios } from "../../model/generators.ts";
import { runs } from "../../model/runs.ts";
import { epochOf } from "../../model/world.ts";
import { sqlAnswers } from "../../vectors/sql-answers.ts";
import { counterexamples } from "./counterexamples.ts";
import { comparable, ledgerGaps, modelBalances, sqlBalances } from "./sql-world.ts";

/** What SQL leaves open is not compared. */
const comparableToSql = {
  // It writes a change of quota with whatever locks a bucket, charged or not.
  backOverChanges: false,
  withoutQuota: false,
};

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");

// Shrinking takes long: what was found by then is reported.
const timeout = 150_000 * runs(1);
const parameters = { numRuns: runs(25), interruptAfterTimeLimit: 120_000 * runs(1) };

/** Every answer equal to the last digit, every bucket too, and a ledger that explains them. */
async function agrees(scenario: Scenario): Promise<void> {
  const { answers, limiter } = run(scenario);
  const at = scenario.steps.at(-1)?.at_us ?? 0;
  const answered = await sqlAnswers(owner, scenario, async (sql) => {
    expect(await ledgerGaps(sql)).toEqual([]);
    expect(await sqlBalances(sql, scenario.epoch, at)).toEqual(
      modelBalances(limiter, epochOf(scenario) + BigInt(at)),
    );
  });
  expect(answered.map(comparable)).toEqual(answers.map(comparable));
}

/** Calls that vector files do not have. */
interface Others {
  readonly app: string;
  readonly operations: { readonly app: string; operation: string; size: number | null }[];
  readonly asked: { readonly tokens: string; readonly bytes: string };
  readonly owed: { readonly tokens: string; readonly bytes: string };
}

function others(): fc.Arbitrary<Others> {
  const app = fc.constantFrom("a", "b", "c");
  const amounts = fc.record({
    tokens: fc.oneof(
      fc.constant("0"),
      fc.nat(40_000).map((n) => (n / 1000).toFixed(6)),
    ),
    bytes: fc.oneof(fc.constant("0"), fc.nat(400_000).map(String)),
  });
  const operation = fc.record({
    app,
    operation: fc.constantFrom(...OPERATIONS),
    size: fc.oneof(fc.constant(0), fc.nat(150_000), fc.constant(null)),
  });
  return fc.record({
    app,
    operations: fc.array(operation, { minLength: 1, maxLength: 6 }),
    asked: amounts,
    owed: amounts,
  });
}

async function agreesOnOthers(scenario: Scenario, other: Others): Promise<void> {
  const at_us = scenario.steps.at(-1)?.at_us ?? 0;
  await sqlAnswers(owner, scenario, async (sql) => {
    const calls = await otherCalls(sql, scenario.epoch, at_us, other);
    const game = new Play(scenario);
    for (const step of scenario.steps) game.answer(step);
    const at = epochOf(scenario) + BigInt(at_us);

    const [first] = other.operations as [Others["operations"][number]];
    const [looked] = run({
      ...scenario,
      steps: [...scenario.steps, consume(at_us, first)],
    }).answers.slice(-1);
    expect(await calls.check(first)).toEqual(looked);

    const batch = other.operations.map((operation) => ({ ...operation, app: other.app }));
    expect(await calls.batch(batch)).toEqual(
      batch.map((operation) => game.answer(consume(at_us, operation))),
    );

    const owed = { iops: micro(other.owed.tokens), bandwidth: micro(other.owed.bytes) };
    expect(await calls.chargeOwed()).toEqual([true, false]);
    game.limiter.operations.chargeOwed(at, other.app, owed, "k");

    const asked = { iops: micro(other.asked.tokens), bandwidth: micro(other.asked.bytes) };
    const { iops, bandwidth } = game.limiter.leases.lease(at, "probe", other.app, asked, null);
    const exchanged = await calls.exchange();
    const leased = await calls.lease();
    expect(exchanged).toEqual(leased);
    const waits = [iops.retryAfterMs, bandwidth.retryAfterMs];
    const isEmpty = iops.granted + bandwidth.granted === 0n;
    expect(leased).toMatchObject({
      tokens: iops.granted,
      bytes: bandwidth.granted,
      ...(isEmpty ? { retry: waits.includes(null) ? null : waits.reduce(later) } : {}),
    });
    expect(await sqlBalances(sql, scenario.epoch, at_us)).toEqual(modelBalances(game.limiter, at));
    expect(await ledgerGaps(sql)).toEqual([]);
  });
}

function later(a: bigint | null, b: bigint | null): bigint | null {
  return a === null || b === null ? null : a > b ? a : b;
}

function consume(at_us: number, operation: Others["operations"][number]): Step {
  return { at_us, call: "consume", ...operation };
}

interface Decided {
  allowed: boolean;
  reason: string | null;
  cost: string;
  remaining: string | null;
  remaining_bytes: string | null;
  retry_after_ms: string | null;
  delay_ms: string;
}

function decision(row: Decided | undefined): Answer {
  if (row === undefined) throw new Error("no decision");
  return {
    allowed: row.allowed,
    reason: row.reason,
    cost: sixDigits(row.cost),
    remaining: sixDigits(row.remaining),
    remaining_bytes: sixDigits(row.remaining_bytes),
    retry_after_ms: row.retry_after_ms === null ? null : Number(row.retry_after_ms),
    delay_ms: Number(row.delay_ms),
  };
}

interface Granted {
  tokens: string;
  bytes: string;
  retry: string | null;
}

function amounts({ tokens, bytes, retry }: Granted) {
  return {
    ...{ tokens: micro(tokens), bytes: micro(bytes) },
    retry: retry === null ? null : BigInt(retry),
  };
}

async function otherCalls(sql: Sql, epoch: string, at_us: number, other: Others) {
  const rows = await sql<{ name: string; app_id: string }[]>`
    select name, app_id from rate_limiter.applications
  `;
  const id = (name: string) => rows.find((row) => row.name === name)?.app_id as string;
  const app = id(other.app);
  const [{ at }] = await sql<[{ at: string }]>`
    select (${epoch}::text::timestamptz + ${at_us}::bigint * interval '1 microsecond')::text as at
  `;
  return {
    check: async ({ app: name, operation, size }: Others["operations"][number]) => {
      const [row] = await sql<Decided[]>`
        select d.*
        from rate_limiter_internal.check_limit_at(
          rate_limiter_internal.app_shard_key(${id(name)}),
          ${at}::timestamptz, ${id(name)}, ${operation}, ${size}
        ) as d
      `;
      return decision(row);
    },
    batch: async (operations: Others["operations"]) => {
      const decided = await sql<Decided[]>`
        select d.*
        from rate_limiter_internal.consume_batch_at(
          rate_limiter_internal.app_shard_key(${app}),
          ${at}::timestamptz, ${app}, ${operations.map(({ operation }) => operation)},
          ${operations.map(({ size }) => size)}::bigint[]
        ) as d
      `;
      return decided.map(decision);
    },
    chargeOwed: async () => {
      const { tokens, bytes } = other.owed;
      const [row] = await sql<[{ first: boolean; second: boolean }]>`
        select
          rate_limiter_internal.charge_owed_at(
            rate_limiter_internal.app_shard_key(${app}),
            ${at}::timestamptz, ${app}, ${tokens}, ${bytes}, 'k'
          ) as first,
          rate_limiter_internal.charge_owed_at(
            rate_limiter_internal.app_shard_key(${app}),
            ${at}::timestamptz, ${app}, ${tokens}, ${bytes}, 'k'
          ) as second
      `;
      return [row.first, row.second];
    },
    /** The same lease by an exchange, and then nothing of it. */
    exchange: async () => {
      const { tokens, bytes } = other.asked;
      await sql`savepoint exchange`;
      const [row] = await sql<[Granted]>`
        select r.tokens, r.bytes, r.retry_after_ms as retry
        from jsonb_to_recordset(rate_limiter_internal.exchange_leases_at(
          array[row(
            rate_limiter_internal.app_shard_key(${app}), ${app}, null, 0, 0, ${tokens}, ${bytes},
            null, null
          )::rate_limiter_internal.lease_renewal],
          '{}', '{}', ${at}
        )) as r (tokens text, bytes text, retry_after_ms text)
      `;
      await sql`rollback to savepoint exchange`;
      await sql`release savepoint exchange`;
      return amounts(row);
    },
    lease: async () => {
      const { tokens, bytes } = other.asked;
      const [row] = await sql<[Granted]>`
        select l.tokens, l.bytes, l.retry_after_ms as retry
        from rate_limiter_internal.lease_tokens_at(
          rate_limiter_internal.app_shard_key(${app}),
          ${at}::timestamptz, ${app}, ${tokens}, ${bytes}
        ) as l
      `;
      return amounts(row);
    },
  };
}

describe("SQL and the model", () => {
  test("agree on random worlds and calls", { timeout }, async () => {
    await fc.assert(fc.asyncProperty(scenarios(comparableToSql), agrees), parameters);
  });

  test("agree on checks, batches, late charges and waits for leases", { timeout }, async () => {
    const property = fc.asyncProperty(scenarios(comparableToSql), others(), agreesOnOthers);
    await fc.assert(property, parameters);
  });

  test.each(counterexamples)("agree on $name", async ({ scenario }) => {
    await agrees(scenario);
  });
});
