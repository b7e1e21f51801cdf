import { beforeEach, describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase } from "../../harness/index.ts";
import { pair } from "../decisions/raced.ts";
import { makeApplication } from "../world.ts";

const database = await createDatabase();
const { sql } = database;

const operation = "read_small";
let appId: string;

beforeEach(async () => {
  await sql`
    update rate_limiter.operation_types
    set c_base = 1, c_bw = 0.0001, unit_quantum = 4096, is_active = true
    where name = ${operation}
  `;
  await sql`delete from rate_limiter.cost_rules`;
  appId = await makeApplication(sql);
});

const addRule = (s: Sql, of = appId, from = "2020-01-01", to: string | null = null) => s`
  insert into rate_limiter.cost_rules (operation_id, app_id, c_base_override, valid_from, valid_to)
  select o.operation_id, ${of}, 7, ${from}, ${to}
  from rate_limiter.operation_types as o
  where o.name = ${operation}
`;

/** What decisions look up, and what rules and list say: rows that only one of them has. */
async function differences(): Promise<unknown[]> {
  const rows = await sql`
    with expected as (
      select
        r.app_id, o.name::text as operation, r.valid_from, r.valid_to,
        coalesce(r.c_base_override, o.c_base) as c_base, coalesce(r.c_bw_override, o.c_bw) as c_bw,
        o.unit_quantum, r.rule_id
      from rate_limiter.cost_rules as r
      join rate_limiter.operation_types as o using (operation_id)
      where r.is_active and o.is_active
    ),
    stored as (
      select
        c.app_id, c.operation::text, c.valid_from, c.valid_to, c.c_base, c.c_bw, c.unit_quantum,
        c.rule_id
      from rate_limiter.app_costs as c
    )
    (select 'missing' as what, e.* from expected as e except all select 'missing', s.* from stored as s)
    union all
    (select 'extra', s.* from stored as s except all select 'extra', e.* from expected as e)
  `;
  return [...rows];
}

async function costNow(size = 4096): Promise<number> {
  const [row] = await sql`select rate_limiter.cost(${appId}, ${operation}, ${size}) as cost`;
  return Number(row?.cost);
}

describe("the costs that decisions look up", () => {
  test.each([
    ["a rule is added", (_: Sql) => undefined, 7.0001],
    [
      "the list changes what the rule leaves as it is",
      (s: Sql) => s`update rate_limiter.operation_types set c_bw = 3, unit_quantum = 1024
        where name = ${operation}`,
      19,
    ],
    [
      "a rule changes",
      (s: Sql) => s`update rate_limiter.cost_rules set c_base_override = null, c_bw_override = 2`,
      3,
    ],
    [
      "a rule begins at another moment",
      (s: Sql) => s`update rate_limiter.cost_rules set valid_from = now() + interval '1 hour'`,
      1.0001,
    ],
    ["a rule ends", (s: Sql) => s`update rate_limiter.cost_rules set valid_to = now()`, 1.0001],
    [
      "a rule is deactivated",
      (s: Sql) => s`update rate_limiter.cost_rules set is_active = false`,
      1.0001,
    ],
    ["a rule is deleted", (s: Sql) => s`delete from rate_limiter.cost_rules`, 1.0001],
  ])("follow when %s", async (_, change, cost) => {
    await addRule(sql);
    await change(sql);
    expect(await differences()).toEqual([]);
    expect(await costNow()).toBe(cost);
  });

  test("go with an operation that is deactivated, and come back with it", async () => {
    await addRule(sql);
    for (const [isActive, count] of [
      [false, 0],
      [true, 1],
    ] as const) {
      await sql`
        update rate_limiter.operation_types set is_active = ${isActive} where name = ${operation}
      `;
      const rows = await sql`select from rate_limiter.app_costs where app_id = ${appId}`;
      expect(rows).toHaveLength(count);
      expect(await differences()).toEqual([]);
    }
  });

  test("are those of the moment, of a rule and of the list alike", async () => {
    await addRule(sql, appId, "2020-01-01", "2021-01-01");
    await addRule(sql, appId, "2022-01-01");
    const costs = await sql<{ cost: string }[]>`
      select d.cost
      from unnest(array['2020-06-01', '2021-06-01', '2022-06-01']::timestamptz[])
        with ordinality as m (at, n)
      cross join lateral rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), m.at, ${appId}, ${operation}, 0
      ) as d
      order by m.n
    `;
    expect(costs.map(({ cost }) => Number(cost))).toEqual([7, 1, 7]);
  });

  test("leave with the application", async () => {
    await addRule(sql);
    await sql`delete from rate_limiter.applications where app_id = ${appId}`;
    expect(await sql`select from rate_limiter.app_costs`).toHaveLength(0);
  });

  test("are right after a rule and the list changed at the same time", async () => {
    const [first, second] = await pair(database);
    await first.sql`begin`;
    await first.sql`update rate_limiter.operation_types set c_bw = 5 where name = ${operation}`;
    const pending = second.start((s) => addRule(s));
    await second.waitsOnLock();
    await first.sql`commit`;
    await pending;
    expect(await differences()).toEqual([]);
    expect(await costNow()).toBe(12);
  });
});
