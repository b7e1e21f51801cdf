import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import {
  epoch,
  ledgerGaps,
  limitedApplication,
  makeCluster,
  publish,
  setSetting,
} from "../world.ts";

const database = await createDatabase();
const { sql } = database;

const layer1 = { iops: 320, burst: 400 };
const stripes = 32;
const clusterId = await makeCluster(sql);
await publish(sql, { clusterId }, layer1);
const rates = [20, 50, 100];
const apps = await Promise.all(
  rates.map((iops) => limitedApplication(sql, { iops, burst: 5000 }, { clusterId })),
);
// The first decision of an application looks its terms up, under locks and without stripes.
await sql`
  select rate_limiter_internal.consume_at(
    rate_limiter_internal.app_shard_key(app_id), ${epoch}, app_id, 'head', 0
  )
  from unnest(${apps}::uuid[]) as app_id
`;
/** Small enough for a stripe, and so large that a few of them empty layer 1. */
const costs = { head: 1, list: 3, delete: 120 } as const;
await sql`update rate_limiter.operation_types set c_base = 120 where name = 'delete'`;

const second = 1_000_000;

/** Microseconds since the step before, and who asks for what. */
const step = fc.record({
  wait: fc.oneof(
    fc.integer({ min: 1, max: 1000 }),
    fc.integer({ min: 1, max: second / 5 }),
    fc.integer({ min: second - 1, max: second + 1 }),
  ),
  app: fc.nat(rates.length - 1),
  operation: fc.constantFrom(...(Object.keys(costs) as (keyof typeof costs)[])),
});
type Step = { wait: number; app: number; operation: keyof typeof costs };

/** Each world has several, far enough from each other for layer 1 to be full again. */
const schedules = fc.array(fc.array(step, { minLength: 1, maxLength: 14 }), {
  minLength: 10,
  maxLength: 10,
});

interface Admission {
  readonly at: number;
  readonly app: number;
  readonly cost: number;
  /** What layer 1 gave at that moment. */
  readonly drawn: number;
}

async function run(milliseconds: number, worlds: Step[][]): Promise<Admission[]> {
  const steps = worlds.flatMap((steps, index) => {
    let at = index * 100 * second;
    return steps.map(({ wait, app, operation }) => {
      at += wait;
      return { at, app, operation };
    });
  });
  return database.withTransaction("rate_limiter_owner", {}, async (transaction) => {
    await transaction`
      update rate_limiter.system_settings set value = ${milliseconds}
      where key = 'layer1_prefetch_ms'
    `;
    const answers = await transaction`
      select d.allowed
      from unnest(
        ${steps.map(({ at }) => at)}::bigint[],
        ${steps.map(({ app }) => apps[app] ?? "")}::uuid[],
        ${steps.map(({ operation }) => operation)}::text[]
      ) as s (at, app_id, operation)
      cross join lateral rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(s.app_id),
        ${epoch}::text::timestamptz + s.at * interval '1 microsecond', s.app_id, s.operation, 0
      ) as d
    `;
    const rows = await transaction`
      select extract(epoch from created_at - ${epoch}::text::timestamptz) * 1000000 as at,
        -tokens_change as drawn
      from rate_limiter.token_transactions
      where owner_id = ${clusterId} and transaction_type in ('consume', 'prefetch')
    `;
    const drawn = new Map(rows.map((row) => [Number(row.at), Number(row.drawn)]));
    return steps.flatMap(({ at, app, operation }, index) =>
      answers[index]?.allowed
        ? [{ at, app, cost: costs[operation], drawn: drawn.get(at) ?? 0 }]
        : [],
    );
  });
}

/**
 * What was drawn ahead of need with each admission: all that its own charge does not explain. The
 * session has one stripe for all its applications.
 */
function drawnAhead(admissions: Admission[]): number[] {
  let stripe = { tokens: 0, until: 0 };
  return admissions.map(({ at, cost, drawn }) => {
    const tokens = stripe.until > at ? stripe.tokens : 0;
    if (tokens >= cost) {
      stripe = { ...stripe, tokens: tokens - cost };
      expect(drawn).toBe(0);
      return 0;
    }
    const ahead = drawn - (cost - tokens);
    stripe = { tokens: ahead, until: at + second };
    return ahead;
  });
}

/** More than the capacity, the inflow and what was drawn ahead just before: nowhere. */
function neverTooMuch(admissions: Admission[], ahead: number[]): void {
  for (const [first, { at: from }] of admissions.entries()) {
    const before = admissions.reduce(
      (sum, { at }, index) => (at < from && at > from - second ? sum + (ahead[index] ?? 0) : sum),
      0,
    );
    let admitted = 0;
    for (const { at, cost } of admissions.slice(first)) {
      admitted += cost;
      const most = layer1.burst + (layer1.iops * (at - from)) / second + before;
      expect(admitted).toBeLessThanOrEqual(most + 1e-6);
    }
  }
}

describe("layer 1", () => {
  test("admits in no window more than it holds, gains and had allotted: 1500 schedules", async () => {
    let drawsAhead = 0;
    let fromStripes = 0;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 1000 }), schedules, async (ms, worlds) => {
        const admissions = await run(ms, worlds);
        const ahead = drawnAhead(admissions);
        for (const tokens of ahead) {
          expect(tokens).toBeGreaterThanOrEqual(-1e-6);
          expect(tokens).toBeLessThanOrEqual((ms * layer1.iops) / 1000 / stripes + 1e-6);
          drawsAhead += tokens > 1e-6 ? 1 : 0;
        }
        fromStripes += admissions.filter(({ drawn }) => drawn === 0).length;
        neverTooMuch(admissions, ahead);
      }),
      { numRuns: 150 },
    );
    expect(drawsAhead).toBeGreaterThan(500);
    expect(fromStripes).toBeGreaterThan(500);
  });

  test("is exact without allotments: it is charged for each, and never over: 500 schedules", async () => {
    await fc.assert(
      fc.asyncProperty(schedules, async (worlds) => {
        const admissions = await run(0, worlds);
        for (const { cost, drawn } of admissions) expect(drawn).toBe(cost);
        neverTooMuch(admissions, []);
      }),
      { numRuns: 50 },
    );
  });

  test.each([0, 100, 1000])("holds among real connections, allotments of %i ms", async (ms) => {
    await setSetting(sql, "layer1_prefetch_ms", ms);
    const ownCluster = await makeCluster(sql);
    await publish(sql, { clusterId: ownCluster }, layer1);
    const own = await Promise.all(
      rates.map((iops) =>
        limitedApplication(sql, { iops, burst: 5000 }, { clusterId: ownCluster }),
      ),
    );
    const clock = async () => {
      const [row] = await sql`select extract(epoch from clock_timestamp()) as seconds`;
      return Number(row?.seconds);
    };
    const begun = await clock();
    const admitted = await Promise.all(
      Array.from({ length: 8 }, async (_, number) => {
        const session = await database.session(`caller ${number}`, "rate_limiter_app");
        let tokens = 0;
        for (let call = 0; call < 60; call++) {
          const [decision] = await session.sql`
            select allowed, cost::float8 from rate_limiter.consume(
              ${own[(number + call) % 3] ?? ""}, ${call % 9 === 0 ? "delete" : "list"}
            )
          `;
          tokens += decision?.allowed ? decision.cost : 0;
        }
        await session.close();
        return tokens;
      }),
    );
    const total = admitted.reduce((sum, tokens) => sum + tokens, 0);
    expect(total).toBeGreaterThan(0);
    expect(total).toBeLessThanOrEqual(layer1.burst + layer1.iops * ((await clock()) - begun));
    expect(await ledgerGaps(sql)).toEqual([]);
  });
});
