import { beforeAll, expect, test } from "vitest";
import { loadScripts } from "../../src/bench/open-database.ts";
import { explainCall } from "../../src/bench/workloads/explain-call.ts";
import { createDatabase, eventually } from "../harness/index.ts";

/**
 * What another session's open snapshot costs: no version of a bucket that was made since can be
 * pruned. Counted in pages, which no machine makes slower.
 */
const database = await createDatabase();
const reader = await database.session("reader");
const caller = await database.session("caller");

const decisions = 3_000;
const scripts = ["consume-plain", "consume-by-key", "consume-denied"] as const;
type Pages = Record<(typeof scripts)[number], number>;

/** Of calls one after the other: now and then one takes a new generation, or a first look at it. */
async function pagesNow(n: number): Promise<Pages> {
  const counted = scripts.map(async (script) => {
    const calls: number[] = [];
    for (let call = 0; call < 7; call++) {
      calls.push((await explainCall(caller.sql, script, n)).buffers);
    }
    return [script, calls.sort((a, b) => a - b)[3]];
  });
  return Object.fromEntries(await Promise.all(counted));
}

async function decide(): Promise<void> {
  await caller.sql.unsafe(`
    do $$
    begin
      for i in 1..${decisions} loop
        perform rate_limiter.consume(md5('plain 1')::uuid, 'read_small', 4096);
        perform rate_limiter.consume_with_key(
          'qos_' || lpad('full-1', 43, 'k'), 'read_small', 4096
        );
        commit;
      end loop;
    end $$
  `);
}

let before: Pages;
let during: { busy: Pages; other: Pages };

async function deadRows(): Promise<number> {
  const [row] = await database.as("rate_limiter_worker")<{ value: number }[]>`
    select m.value from rate_limiter_private.metrics_snapshot() as m
    where m.name = 'bucket_rows' and m.label = 'dead'
  `;
  return row?.value ?? -1;
}

beforeAll(async () => {
  await loadScripts(database.sql);
  await database.sql.unsafe("call bench.make_world(5)");
  for (const n of [1, 2, 1]) before = await pagesNow(n);
  await reader.sql`begin isolation level repeatable read`;
  await reader.sql`select count(*) from rate_limiter.applications`;
  await decide();
  during = { busy: await pagesNow(1), other: await pagesNow(2) };
  await eventually(async () => expect(await deadRows()).toBeGreaterThanOrEqual(decisions));
  await reader.sql`commit`;
}, 120_000);

// A generation ends after 64 versions, and the facts say so after eight of them: what is read lies in
// the pages of that many versions at most, however long the snapshot is held and however much is
// decided beside it. Without generations one reads hundreds of pages by now.
test.each(scripts)("%s reads so many pages more at most, however much was decided", (script) => {
  expect(during.busy[script]).toBeLessThanOrEqual(before[script] + 110);
});

test("slows no other application", () => {
  expect(during.other["consume-plain"]).toBeLessThanOrEqual(before["consume-plain"] + 10);
});

test("leaves one row of each bucket, and the ledger explains them", async () => {
  const [rows] = await database.sql`
    select count(*)::integer as count, min(b.generation) as last_generation
    from rate_limiter.token_buckets as b
    where b.owner_id = md5('full 1')::uuid
  `;
  expect(rows).toMatchObject({ count: 2 });
  expect(rows?.last_generation).toBeLessThan(0);
  // Other buckets of the benchmark begin with tokens that no row gave them.
  const gaps = await database.sql`
    select g.* from rate_limiter.verify_ledger() as g
    where g.owner_id = md5('full 1')::uuid and g.seq > 1
  `;
  expect([...gaps]).toEqual([]);
});

test("ends with the snapshot", async () => {
  await eventually(async () => {
    await database.sql`
      vacuum rate_limiter.token_buckets, rate_limiter.app_facts, rate_limiter_internal.layer1_stripes
    `;
    const now = await pagesNow(1);
    // Its indexes stay a level deeper.
    for (const script of scripts) expect(now[script]).toBeLessThanOrEqual(before[script] + 10);
    expect(await deadRows()).toBeLessThan(decisions);
  });
});
