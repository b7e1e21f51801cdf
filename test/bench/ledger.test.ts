import { beforeAll, expect, test } from "vitest";
import { hasRoomFor } from "../../src/bench/disk.ts";
import { growLedger } from "../../src/bench/grow-ledger.ts";
import { loadScripts } from "../../src/bench/open-database.ts";
import { createDatabase } from "../harness/index.ts";

const { sql } = await createDatabase();
const applications = 3;

beforeAll(async () => {
  await loadScripts(sql);
  await sql.unsafe(`call bench.make_world(${applications})`);
});

test("a full disk keeps the ledger as it is", async () => {
  const full = async () => ({ freeBytes: 20, bytes: 100 });
  const before = await sql`select count(*) from rate_limiter.token_transactions`;
  expect(await growLedger(sql, applications, 600, full)).toBe(0);
  expect(await sql`select count(*) from rate_limiter.token_transactions`).toEqual(before);
});

test("rows of a week in their own partitions, and a ledger without gaps that goes on", async () => {
  expect(await growLedger(sql, applications, 600, async () => undefined, 120)).toBe(600);
  await sql`select rate_limiter.consume(md5('full 2')::uuid, 'read_small', 4096)`;

  const partitions = await sql<{ name: string }[]>`
    select distinct tableoid::regclass::text as name from rate_limiter.token_transactions
  `;
  expect(partitions.length).toBeGreaterThanOrEqual(7);
  expect(partitions.filter(({ name }) => name.endsWith("default"))).toEqual([]);
  // Buckets of `denied` are emptied behind the ledger's back.
  const gaps = await sql`
    select g.* from rate_limiter.verify_ledger() as g
    join bench.full_buckets as b using (owner_id)
  `;
  expect(gaps).toEqual([]);
});

test("a disk that fills up ends it early, and only the oldest rows are missing", async () => {
  const disks = [{ freeBytes: 1e9, bytes: 1e9 }];
  const disk = async () => disks.pop() ?? { freeBytes: 0, bytes: 1e9 };
  expect(await growLedger(sql, applications, 600, disk, 120)).toBe(120);

  const [rows] = await sql<[{ made: number; lowest: string }]>`
    select count(*)::int as made, min(t.seq) as lowest
    from rate_limiter.token_transactions as t
    join bench.full_buckets as b using (owner_id, bucket_type, mode)
    where t.seq <= 100
  `;
  expect(rows).toEqual({ made: 120, lowest: "81" });
});

test("older partitions, and as many as there were where none is asked for", async () => {
  const count = async () => {
    const [row] = await sql<[{ count: number }]>`
      select count(*)::int from rate_limiter_internal.partitions()
      where table_name = 'token_transactions' and not is_default and starts_at < now()
    `;
    return row.count;
  };
  const before = await count();
  await sql`select bench.make_ledger_partitions(0)`;
  expect(await count()).toBe(before);
  await sql`select bench.make_ledger_partitions(30)`;
  expect(await count()).toBe(31);
});

test("a fifth of the disk stays free, where it can be looked at", () => {
  const disk = { freeBytes: 50, bytes: 100 };
  expect(hasRoomFor(30, disk)).toBe(true);
  expect(hasRoomFor(31, disk)).toBe(false);
  expect(hasRoomFor(31, undefined)).toBe(true);
});
