import { beforeAll, describe, expect, test } from "vitest";
import type { Sql } from "../../src/postgres/connect.ts";
import { Random } from "../../src/random.ts";
import {
  type Evidence,
  type Findings,
  findBreaches,
  mayBeForgotten,
} from "../../src/torture/checks.ts";
import { type FaultKind, planFaults } from "../../src/torture/fault.ts";
import { isSound } from "../../src/torture/report.ts";
import { type RunResult, runOnce } from "../../src/torture/run.ts";

const seed = 20;
const minutes = 60_000;

/** Each breaks one promise in a database at rest; the rest of it stays as it was. */
const mutants: readonly {
  readonly breach: string;
  readonly key: keyof Findings;
  readonly statement?: string;
  readonly receipts?: (evidence: Evidence) => void;
}[] = [
  {
    breach: "a balance that the ledger does not explain",
    key: "ledger_gaps",
    statement: "update rate_limiter.token_buckets set current_tokens = current_tokens - 1",
  },
  {
    breach: "more inflow than the quota has",
    key: "over_admitted",
    statement: `
      update rate_limiter.token_transactions set refilled = refilled + 100000
      where bucket_type = 'iops_l2'
    `,
  },
  {
    breach: "more admissions than the bucket ever held",
    key: "over_admitted",
    receipts: ({ world, receipts }) => {
      const { appId } = world.nomad;
      receipts.answers.push({ appId, at: Date.now(), tokens: 100_000, by: "database" });
    },
  },
  {
    breach: "a lease that grants more than was taken",
    key: "lease_imbalance",
    statement: "update rate_limiter.token_leases set tokens = tokens + 1",
  },
  {
    breach: "a lease that gave back more than it had left",
    key: "lease_imbalance",
    statement: `
      update rate_limiter.token_transactions set tokens_change = tokens_change + 100
      where metadata ? 'lease' and transaction_type = 'settle'
    `,
  },
  {
    breach: "leases that layer 1 still counts",
    key: "lease_imbalance",
    statement: `
      update rate_limiter.token_buckets set leased = coalesce(leased, 0) + 1
      where bucket_type = 'iops_l1'
    `,
  },
  {
    breach: "a loan that was not collected",
    key: "lost_jobs",
    statement: `
      update rate_limiter.token_borrowing
      set status = 'active', repaid_tokens = 0, repaid_at = null
    `,
  },
  {
    breach: "a loan that was collected twice",
    key: "lost_jobs",
    statement: `
      update rate_limiter.token_transactions set tokens_change = 2 * tokens_change
      where transaction_type = 'repay'
    `,
  },
  {
    breach: "an admission without a charge",
    key: "uncharged",
    statement: "delete from rate_limiter.charges",
  },
];

/** Admissions on record that no crash forgot, a lease that gave something back, and a paid loan. */
async function hasWhatMutantsBreak(
  sql: Sql,
  { receipts, losses }: Pick<Evidence, "receipts" | "losses">,
): Promise<boolean> {
  const [row] = await sql<{ has: boolean }[]>`
    select
      count(*) filter (where transaction_type = 'settle' and metadata ? 'lease') > 0
      and count(*) filter (where transaction_type = 'repay') > 0 as has
    from rate_limiter.token_transactions
    where bucket_type = 'iops_l2' and mode = 'enforce' and tokens_change <> 0
  `;
  const isKept = receipts.answers.some(
    ({ reference, at }) => reference !== undefined && !mayBeForgotten(at, { losses }, 0),
  );
  return isKept && row?.has === true;
}

class Undone extends Error {}

/** What the checks find once a mutant has broken its promise; then it is undone. */
async function findingsOf(sql: Sql, evidence: Evidence, mutant: (typeof mutants)[number]) {
  let findings: Findings | undefined;
  const answers = evidence.receipts.answers.length;
  await sql
    .begin(async (transaction) => {
      mutant.receipts?.(evidence);
      if (mutant.statement) await transaction.unsafe(mutant.statement);
      findings = await findBreaches(transaction as unknown as Sql, evidence);
      throw new Undone();
    })
    .catch((error: unknown) => {
      if (!(error instanceof Undone)) throw error;
    });
  evidence.receipts.answers.length = answers;
  return findings;
}

describe("under faults of every kind", () => {
  const faults = planFaults(new Random(seed), 20_000, 19);
  const found = new Map<string, Findings | undefined>();
  let result: RunResult;

  beforeAll(async () => {
    result = await runOnce({
      ...{ seed, runMs: 20_000, faults, until: hasWhatMutantsBreak },
      inspect: async (sql, evidence) => {
        for (const mutant of mutants) {
          found.set(mutant.breach, await findingsOf(sql, evidence, mutant));
        }
      },
    });
  }, 5 * minutes);

  test("the system keeps its promises", () => {
    expect(result.findings).toMatchObject({ surprises: [] });
    expect(isSound(result.findings), JSON.stringify(result)).toBe(true);
    expect(result.operations).toBeGreaterThan(100);
    expect(result.faults).toBeGreaterThan(faults.length / 2);
    if (process.env.QOS_TEST_PROGRAMS) {
      expect(result.failedFaults.join()).not.toContain("is not installed");
    }
  });

  test.each(mutants)("the checks find $breach", ({ breach, key }) => {
    expect(found.get(breach)?.[key]).toBeGreaterThan(0);
  });
});

test(
  "the checks find an engine that admits without a charge",
  async () => {
    const result = await runWith(`
      create or replace function rate_limiter.consume(
        app_id uuid, operation text, size_bytes bigint default 0, reference_id text default null
      )
      returns rate_limiter.decision language sql as
      $$ select row(true, null, 1000, 0, 0, 0, 0)::rate_limiter.decision $$
    `);
    expect(result.findings.over_admitted).toBeGreaterThan(0);
    expect(result.findings.uncharged).toBeGreaterThan(0);
  },
  2 * minutes,
);

test(
  "a run in which leases do not end says so, and ends",
  async () => {
    const result = await runWith("drop function rate_limiter_private.expire_leases");
    expect(result.findings.surprises).toEqual([
      expect.stringMatching(/sessions did not come to rest in 2 s: function .* does not exist$/),
    ]);
  },
  2 * minutes,
);

/** What no other fault brings to light. Half a minute each: for .ci/full alone. */
const describeLong = process.env.QOS_TEST_FULL ? describe : () => {};
describeLong("a fault shows what only it can", () => {
  const only = (kind: FaultKind, choice: number) =>
    Array.from({ length: 4 }, (_, number) => ({
      ...{ atMs: 3_000 + 3_000 * number, kind, choice, forMs: 1_500 },
    }));

  test(
    "step_clock: an engine that pays for the time by which the clock was set back",
    async () => {
      const result = await runOnce({
        ...{ seed, runMs: 16_000, faults: only("step_clock", 15) },
        prepare: async (sql) => {
          await sql.unsafe(`
            create or replace function rate_limiter_internal.clock_was_set_back(
              last_refill_at timestamptz, at timestamptz
            )
            returns boolean language sql immutable as $$ select false $$;
            create or replace function rate_limiter_internal.inflow(
              tokens numeric, capacity numeric, refill_rate bigint, last_refill_at timestamptz,
              at timestamptz
            )
            returns numeric language sql immutable as $$
              select case
                when last_refill_at - at > interval '1 second'
                  then refill_rate * extract(epoch from last_refill_at - at)
                else least(
                  greatest(capacity - tokens, 0),
                  greatest(extract(epoch from at - last_refill_at) * refill_rate, 0)
                )
              end
            $$
          `);
        },
      });
      expect(result).toMatchObject({ failedFaults: [] });
      expect(result.findings.over_admitted).toBeGreaterThan(0);
    },
    2 * minutes,
  );

  test(
    "fill_disk: an engine that admits what it finds no room to charge",
    async () => {
      const result = await runOnce({
        ...{ seed, runMs: 16_000, faults: only("fill_disk", 0) },
        prepare: async (sql) => {
          await sql.unsafe(`
            alter function rate_limiter.consume(uuid, text, bigint, text) rename to consume_or_fail;
            create function rate_limiter.consume(
              app_id uuid, operation text, size_bytes bigint default 0,
              reference_id text default null
            )
            returns rate_limiter.decision language plpgsql security definer as $$
            begin
              return rate_limiter.consume_or_fail(app_id, operation, size_bytes, reference_id);
            exception when disk_full then
              return row(true, null, 1, 0, 0, 0, 0)::rate_limiter.decision;
            end $$
          `);
        },
      });
      expect(result).toMatchObject({ failedFaults: [] });
      expect(result.findings.uncharged).toBeGreaterThan(0);
    },
    2 * minutes,
  );
});

/** A short run without faults on a database in which a function is another one. */
function runWith(statement: string): Promise<RunResult> {
  return runOnce({
    ...{ seed, runMs: 5_000, faults: [], restMs: 2_000 },
    prepare: async (sql) => {
      await sql.unsafe(statement);
    },
  });
}
