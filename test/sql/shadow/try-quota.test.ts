import { beforeEach, describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase } from "../../harness/index.ts";
import { limitedApplication, moment, setSetting } from "../world.ts";

const database = await createDatabase();
const { sql } = database;
let appId = "";

interface Trial {
  readonly operations: string;
  readonly unfolded_operations: string;
  readonly throttled_operations: string;
  readonly throttled_operations_max: string;
  readonly throttled_tokens: string;
  readonly throttled_tokens_max: string;
  readonly throttled_bytes: string;
  readonly throttled_bytes_max: string;
  readonly throttled_by: object;
  readonly leases: string;
  readonly leased_tokens: string;
  readonly leased_bytes: string;
  readonly denied_operations: string;
  readonly judged_until: string;
  readonly notes: readonly string[];
}

/** What limits would have throttled of the first hour. */
async function tried(
  limits: { readonly iops?: number; readonly bytes?: number },
  most = 20_000,
): Promise<Trial> {
  const { iops, bytes } = limits;
  const terms = (names: readonly string[], limit: number | undefined) =>
    limit === undefined
      ? null
      : JSON.stringify({
          [names[0] ?? ""]: limit,
          [names[1] ?? ""]: limit,
          [names[2] ?? ""]: limit,
          burst_duration_seconds: 1,
          calculation_method: "token_bucket",
        });
  const [row] = await sql<Trial[]>`
    select * from rate_limiter_internal.try_quota(
      ${appId}, null, ${moment(0)}, ${moment(3600)}, ${most},
      ${terms(["iops_limit", "iops_burst", "refill_rate"], iops)}::text::jsonb,
      ${terms(["bandwidth_limit_bps", "bandwidth_burst_bps", "refill_rate_bps"], bytes)}::text::jsonb
    )
  `;
  if (row === undefined) throw new Error("nothing tried");
  return row;
}

const consume = (seconds: number, size = 0, operation = "head") => sql`
  select rate_limiter_internal.consume_at(
    rate_limiter_internal.app_shard_key(${appId}), ${moment(seconds)}, ${appId}, ${operation}, ${size}
  )
`;
const batch = (seconds: number, count: number, size = 0) => sql`
  select rate_limiter_internal.consume_batch_at(
    rate_limiter_internal.app_shard_key(${appId}),
    ${moment(seconds)}, ${appId}, array_fill('head'::text, array[${count}::integer]),
    array_fill(${size}::bigint, array[${count}::integer])
  )
`;
async function lease(seconds: number, tokens: number, bytes = 0, life = 10): Promise<string> {
  const [row] = await sql`
    select lease_id from rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${appId}),
      ${moment(seconds)}, ${appId}, ${tokens}, ${bytes}, make_interval(secs => ${life})
    )
  `;
  return row?.lease_id;
}
const settle = (seconds: number, id: string, tokens: number, bytes = 0, owed = 0) => sql`
  select rate_limiter_internal.settle_lease_at(
    rate_limiter_internal.app_shard_key(${appId}),
    ${moment(seconds)}, ${appId}, ${id}, ${tokens}, ${bytes}, ${owed}, 0
  )
`;

beforeEach(async () => {
  await setSetting(sql, "lease_max_share", 1);
  appId = await limitedApplication(sql, { iops: 10_000, bytes: 1_000_000 });
});

describe("a candidate quota is tried out on", () => {
  test("operations, one by one and by the arithmetic of live decisions", async () => {
    for (const seconds of [1, 1.1, 1.2, 2.2]) await consume(seconds, 100);
    expect(await tried({ iops: 2 })).toMatchObject({
      operations: "4",
      throttled_operations: "1",
      throttled_operations_max: "1",
      throttled_tokens: "1.000000",
      throttled_bytes: "100",
      throttled_by: { iops_l2: 1 },
      notes: [],
    });
  });

  test("batches, each unfolded into its operations", async () => {
    await batch(1, 100, 50);
    expect(await tried({ iops: 40, bytes: 1_000 })).toMatchObject({
      operations: "100",
      unfolded_operations: "100",
      throttled_operations: "80",
      throttled_tokens: "80.000000",
      throttled_bytes: "4000",
      throttled_by: { bandwidth_l2: 80 },
      notes: ["100 operations of batches are judged at the mean of their batch."],
    });
  });

  test("batches whose mean has no six digits, to the last token", async () => {
    await sql`
      select rate_limiter_internal.consume_batch_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${moment(1)}, ${appId}, '{head,list,list}', '{1,0,0}'
      )
    `;
    const [spent] = await sql`
      select -sum(tokens_change) as tokens from rate_limiter.token_transactions
      where owner_id = ${appId} and bucket_type = 'iops_l2' and transaction_type = 'consume'
    `;
    expect(await tried({ iops: 1 })).toMatchObject({
      throttled_operations: "3",
      throttled_tokens: spent?.tokens,
    });
  });

  test("leases, spent evenly and at once, and never as one operation", async () => {
    await lease(1, 450);
    expect(await tried({ iops: 400 })).toMatchObject({
      operations: "0",
      leases: "1",
      leased_tokens: "450.000000",
      throttled_operations: "0",
      throttled_operations_max: "0",
      throttled_tokens: "0.000000",
      throttled_tokens_max: "50.000000",
      throttled_by: {},
    });
    const { notes, throttled_tokens, throttled_tokens_max } = await tried({ iops: 30 });
    // 45 a second, and at most what flows in in ten seconds beside a full bucket.
    expect(Number(throttled_tokens)).toBeGreaterThanOrEqual(450 - 30 - 10 * 30);
    expect(Number(throttled_tokens)).toBeLessThanOrEqual(450 - 9.5 * 30);
    expect(Number(throttled_tokens_max)).toBe(420);
    expect(notes).toEqual([
      "What was spent of 1 leases is not on record by operation: judged as spent evenly over " +
        "their lives, and for the maxima all at once.",
    ]);
  });

  test("what was spent of a lease, and not on what it gave back", async () => {
    const id = await lease(1, 450, 5_000);
    await settle(1.001, id, 30, 100);
    expect(await tried({ iops: 100, bytes: 1_000 })).toMatchObject({
      leased_tokens: "30.000000",
      leased_bytes: "100.000000",
      throttled_tokens: "0.000000",
      throttled_tokens_max: "0.000000",
      throttled_bytes_max: "0.000000",
    });
    await sql`delete from rate_limiter.token_leases where app_id = ${appId}`;
    expect(await tried({ iops: 100 })).toMatchObject({ leased_tokens: "30.000000" });
  });

  test("what was used beyond leases", async () => {
    const id = await lease(1, 100);
    await settle(2, id, 100, 0, 60);
    await sql`
      select rate_limiter_internal.charge_owed_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(3)}, ${appId}, 40, 0, 'key'
      )
    `;
    expect(await tried({ iops: 1000 })).toMatchObject({ leases: "1", leased_tokens: "200.000000" });
  });

  test("operations beside leases, which may have left them less", async () => {
    await lease(1, 100);
    for (const seconds of [1.001, 1.002, 1.003]) await consume(seconds);
    expect(await tried({ iops: 100 })).toMatchObject({
      operations: "3",
      throttled_operations: "0",
      throttled_operations_max: "3",
    });
  });

  test("what was denied, which is counted", async () => {
    await consume(1);
    await sql`
      insert into rate_limiter.denial_counts
        (shard_key, app_id, minute, reason, operations, tokens, bytes)
      values (rate_limiter_internal.shard_key_of(${appId}), ${appId}, ${moment(60)}, 'iops_l2', 7, 7.5, 70)
    `;
    expect(await tried({ iops: 100 })).toMatchObject({
      operations: "1",
      denied_operations: "7",
      notes: ["7 operations were denied and are counted, not decided again."],
    });
  });

  test("as many operations as are asked for, and says where it ended", async () => {
    for (const seconds of [1, 2, 3, 4, 5]) await consume(seconds);
    await batch(6, 100);
    const first = await tried({ iops: 1000 }, 3);
    expect(first).toMatchObject({ operations: "3" });
    expect(Date.parse(first.judged_until)).toBe(Date.parse(moment(4)));
    expect(first.notes).toEqual(["Only a part of the span is judged: go on from where it ended."]);
    const all = await tried({ iops: 1000 }, 105);
    expect(all).toMatchObject({ operations: "105" });
    expect(Date.parse(all.judged_until)).toBe(Date.parse(moment(3600)));
    const before = await tried({ iops: 1000 }, 104);
    expect(before).toMatchObject({ operations: "5" });
  });

  test("a history that says nothing of what the candidate limits, and says so", async () => {
    const unlimited = await limitedApplication(sql, { bytes: 1000 });
    appId = unlimited;
    await consume(1, 100);
    expect((await tried({ iops: 1 })).notes).toEqual([
      "No tokens of operations are on record: the application had no quota of operations.",
    ]);
  });

  test("amounts on record that no lease takes any more", async () => {
    await sql`
      insert into rate_limiter.token_transactions
        (shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
         refilled, balance_after, metadata)
      select
        rate_limiter_internal.shard_key_of(${appId}), ${appId}, ${moment(1)}, 1000 + row_number() over (), 'bandwidth_l2', 'enforce', e.type,
        e.amount, 0, 0, e.data
      from (values
        ('lease'::rate_limiter.transaction_type, -1e19, '{"lease": "nonsense"}'::jsonb),
        ('consume', -1e31, '{"operations": "many"}'),
        ('consume', -1e31, '{"operations": 2}')
      ) as e (type, amount, data)
    `;
    expect(await tried({ bytes: 1000 })).toMatchObject({
      operations: "3",
      throttled_operations: "3",
      throttled_bytes_max: expect.stringMatching(/^\d+/),
    });
  });
});

describe("amounts", () => {
  const refused = async (work: (of: Sql) => PromiseLike<unknown>) => {
    await expect(work(sql)).rejects.toMatchObject({ code: "QS422" });
  };

  test("of leases are at most 10^18", async () => {
    await refused((of) => of`select rate_limiter.lease_tokens(${appId}, 0, 10000000000000000000)`);
    await refused((of) => of`select rate_limiter.lease_tokens(${appId}, 1e18::numeric + 1, 0)`);
    const [row] = await sql`
      select tokens from rate_limiter.lease_tokens(${appId}, 1e18::numeric, 1e18::numeric)
    `;
    expect(Number(row?.tokens)).toBeGreaterThan(0);
  });
});
