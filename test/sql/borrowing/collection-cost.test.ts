import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { limitedApplication } from "../world.ts";

const database = await createDatabase();
const { sql } = database;

/** Applications that each owe a token since two hours to the one before. */
async function owe(count: number): Promise<void> {
  const ids: string[] = [];
  for (let n = 0; n <= count; n++) ids.push(await limitedApplication(sql, { iops: 100 }));
  await sql`select rate_limiter.consume(a.id, 'read_small', 0) from unnest(${ids}::uuid[]) as a (id)`;
  await sql`
    insert into rate_limiter.token_borrowing (
      shard_key, owner_id, bucket_type, lender_owner_id, lender_bucket_type, tokens_borrowed,
      repayment_tokens, interest_rate, borrowed_at, due_at, collect_at
    )
    select
      rate_limiter_internal.shard_key_of(a.id), a.id, 'iops_l2', a.lender_id, 'iops_l2', 1, 1, 0,
      now() - interval '2 hours', now() - interval '1 hour', now() - interval '1 hour'
    from (
      select u.id, lag(u.id) over (order by u.place) as lender_id
      from unnest(${ids}::uuid[]) with ordinality as u (id, place)
    ) as a
    where a.lender_id is not null
  `;
}

test("a collected borrowing is written once, and each of its buckets locked once", async () => {
  const due = 12;
  await owe(due);
  const session = await database.session("collects");
  const read = async (table: string) => {
    const [row] = await session.sql<{ lookups: number; updates: number }[]>`
      select (s.seq_scan + s.idx_scan)::float8 as lookups, s.n_tup_upd::float8 as updates
      from pg_stat_xact_all_tables as s
      where s.schemaname = 'rate_limiter' and s.relname = ${table}
    `;
    return row ?? { lookups: 0, updates: 0 };
  };
  await session.sql`begin`;
  const [answer] = await session.sql<{ tried: number }[]>`
    select rate_limiter_private.collect_borrowings(now(), 100) as tried
  `;
  const [borrowings, buckets] = [await read("token_borrowing"), await read("token_buckets")];
  await session.sql`commit`;
  await session.close();

  expect(answer?.tried).toBe(due);
  const [left] = await sql`
    select count(*)::integer as count from rate_limiter.token_borrowing where status <> 'repaid'
  `;
  expect(left?.count).toBe(0);
  expect(borrowings.updates).toBe(due);
  // The one that is found, and each that is written.
  expect(borrowings.lookups).toBe(due + 1);
  // A chain of so many and one: each locked once, and written as a borrower, a lender or both.
  expect(buckets.lookups - buckets.updates).toBe(due + 1);
  expect([...(await sql`select * from rate_limiter.verify_ledger()`)]).toEqual([]);
});
