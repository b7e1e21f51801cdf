import { beforeAll, expect, test } from "vitest";
import { loadScripts } from "../../src/bench/open-database.ts";
import { explainCall } from "../../src/bench/workloads/explain-call.ts";
import { createDatabase, eventually } from "../harness/index.ts";

/**
 * What another session's open snapshot costs: no version of a bucket that was made since can be
 * pruned, and a decision reads them all. Counted in pages, which no machine makes slower.
 */
const database = await createDatabase();
const reader = await database.session("reader");
const caller = await database.session("caller");

const decisions = 1_000;
/** Of one application without layer 1, in a page for so many of its versions. */
const versionsInAPage = 15;

const pagesOf = async (n: number) => (await explainCall(caller.sql, "consume-plain", n)).buffers;

async function decide(n: number): Promise<void> {
  await caller.sql.unsafe(`
    do $$
    begin
      for i in 1..${decisions} loop
        perform rate_limiter.consume(md5('plain ${n}')::uuid, 'read_small', 4096);
        commit;
      end loop;
    end $$
  `);
}

let before = 0;
let during = { busy: 0, other: 0 };

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
  for (const n of [1, 2]) for (let call = 0; call < 10; call++) await pagesOf(n);
  before = await pagesOf(1);
  await reader.sql`begin isolation level repeatable read`;
  await reader.sql`select count(*) from rate_limiter.applications`;
  await decide(1);
  during = { busy: await pagesOf(1), other: await pagesOf(2) };
  await eventually(async () => expect(await deadRows()).toBeGreaterThanOrEqual(decisions));
  await reader.sql`commit`;
}, 60_000);

test("slows an application by the versions that its own decisions made, and no more", () => {
  // Both of its buckets are read three times.
  const mostPages = (3 * decisions) / versionsInAPage;
  expect(during.busy).toBeLessThanOrEqual(before + mostPages);
});

test("slows no other application", () => {
  // Which has a few versions of its own since then.
  expect(during.other).toBeLessThanOrEqual(before + 10);
});

test("ends with the snapshot", async () => {
  await eventually(async () => {
    await database.sql`vacuum rate_limiter.token_buckets`;
    expect(await pagesOf(1)).toBeLessThanOrEqual(before + 2);
    expect(await deadRows()).toBeLessThan(decisions);
  });
});
