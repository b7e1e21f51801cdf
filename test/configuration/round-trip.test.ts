import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { createAdministrator } from "../../src/api/administrator/create-administrator.ts";
import { configurationOf } from "../../src/configuration/configuration.ts";
import { treeOf } from "../../src/configuration/tree.ts";
import { applyConfiguration } from "../../src/management/by-database/apply.ts";
import { compareConfiguration } from "../../src/management/by-database/compare.ts";
import { readConfiguration } from "../../src/management/by-database/read-configuration.ts";
import type { TransactionSql } from "../../src/postgres/connect.ts";
import { tries } from "../harness/hostile.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
beforeAll(() => createAdministrator(database.sql));

const optional = <T extends object>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(fields, { requiredKeys: [] });
/** Not every one names each object, so that what one makes another prunes. */
const some = <T>(names: readonly string[], value: fc.Arbitrary<T>) =>
  fc.dictionary(fc.constantFrom(...names), value, { maxKeys: names.length });

const rate = fc.constantFrom("100/s", "750/s", "1k/s", "12345/s");
const byteRate = fc.constantFrom("1 MB/s", "3 MiB/s", "2.5 GB/s", "1048577 B/s");
const quota = optional({
  operations: fc.oneof(
    rate,
    fc.record(
      {
        limit: fc.constantFrom("100/s", "101/s"),
        burst: fc.constantFrom("200/s", "1.5k/s"),
        burst_for: fc.constantFrom("1 s", "2 min"),
        refill: fc.constantFrom("100/s", "90/s"),
        method: fc.constantFrom("token_bucket", "leaky_bucket"),
        min_reserve: fc.constantFrom(0, 7),
      },
      { requiredKeys: ["limit"] },
    ),
  ),
  bandwidth: byteRate,
}).filter((each) => Object.keys(each).length > 0);
const text = fc.constantFrom("plain", "ümlaut: #1", " spaces ", "- [x]", "'", "yes", "1e3");

const application = optional({
  cluster: fc.constant("stays"),
  metadata: fc.dictionary(text, fc.oneof(text, fc.integer(), fc.boolean()), { maxKeys: 3 }),
  active: fc.boolean(),
  quota,
  costs: some(
    ["read_large", "list"],
    fc.record({ base: fc.constantFrom(0.5, 2, 3.25), per_unit: fc.constantFrom(0, 1, 0.125) }),
  ),
  alerts: fc.array(
    fc.record({
      when: fc.constantFrom("qos_denied > 100"),
      severity: fc.constantFrom("info", "critical"),
      for: fc.constantFrom("90 s", "5 min"),
      active: fc.boolean(),
    }),
    { maxLength: 1 },
  ),
});
const configuration = fc.record({
  managed_by: fc.constant("a-team"),
  clusters: fc.record({ stays: fc.constant({ region: "eu", quota: { operations: "1M/s" } }) }),
  tenants: some(
    ["acme", "other"],
    optional({ description: text, applications: some(["a", "b", "c"], application) }),
  ),
});

test("what was applied, over anything, is what stands, and what export writes is the same", {
  timeout: 600_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(configuration, configuration, (before, wanted) =>
      rolledBack(async (sql) => {
        for (const each of [before, wanted]) await apply(sql, each);
        expect(await differing(sql, wanted)).toEqual([]);
        const standing = await readConfiguration(sql);
        const managed = standing.filter((object) => object.managed_by === "a-team");
        const exported = { managed_by: "a-team", ...treeOf(managed) };
        expect(await differing(sql, exported)).toEqual([]);
        // Not one that names less, which would differ by nothing without pruning.
        await apply(sql, before);
        await apply(sql, exported);
        expect(await differing(sql, wanted)).toEqual([]);
      }),
    ),
    tries(6),
  );
});

const read = (tree: object) => configurationOf([{ file: "some", text: stringify(tree) }]);

function apply(sql: TransactionSql, tree: object) {
  return applyConfiguration(sql, read(tree), { reason: "some", prune: true, takeOver: false });
}

function differing(sql: TransactionSql, tree: object) {
  return compareConfiguration(sql, read(tree), true);
}

async function rolledBack(work: (sql: TransactionSql) => Promise<void>): Promise<void> {
  const stop = new Error("rolled back");
  const done = database.sql.begin(async (sql) => {
    await sql`
      select
        set_config('rate_limiter.user_id', rate_limiter_private.operator()::text, true),
        set_config('role', 'rate_limiter_visitor', true)
    `;
    await work(sql as unknown as TransactionSql);
    throw stop;
  });
  await done.catch((error) => {
    if (error !== stop) throw error;
  });
}
