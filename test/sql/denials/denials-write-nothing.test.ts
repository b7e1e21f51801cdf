import { describe, expect, test } from "vitest";
import { withThrowawayDatabase } from "../../../src/migrations/throwaway-database.ts";
import { type Sql, withConnection } from "../../../src/postgres/connect.ts";
import { withRole } from "../../../src/postgres/url.ts";
import { dataPlane, limitedApplication, makeCluster, publish } from "../world.ts";

/** Denied at any moment: by its size, by what it costs, or because layer 1 is smaller than that. */
const denied: Record<string, (sql: Sql, appId: string) => PromiseLike<readonly unknown[]>> = {
  "a consume": (sql, appId) => sql`
    select (rate_limiter.consume(${appId}, 'list', 0)).allowed from generate_series(1, 50)
  `,
  "a consume under a reference": (sql, appId) => sql`
    select (rate_limiter.consume(${appId}, 'list', 0, 'r' || i)).allowed
    from generate_series(1, 50) as i
  `,
  "a consume that never can be": (sql, appId) => sql`
    select (rate_limiter.consume(${appId}, 'head', 100000000)).allowed from generate_series(1, 50)
  `,
  "a batch": (sql, appId) => sql`
    select d.allowed
    from rate_limiter.consume_batch(
      ${appId}, array_fill('list'::text, array[50]), array_fill(0::bigint, array[50])
    ) as d
  `,
  // Left open, for consume() to deny: the tokens are there and the bytes are not.
  "a decision together with others": (sql, appId) => sql`
    select coalesce(d.allowed, false) as allowed
    from generate_series(1, 50)
    cross join lateral rate_limiter.consume_many(array[${appId}::uuid], '{head}', '{1}') as d
  `,
  "a look": (sql, appId) => sql`
    select (rate_limiter.check_limit(${appId}, 'list', 0)).allowed from generate_series(1, 50)
  `,
  "a lease of nothing": (sql, appId) => sql`
    select (rate_limiter.lease_tokens(${appId}, 0, 5000)).lease_id is not null as allowed
    from generate_series(1, 50)
  `,
};

describe("a denial writes no row and no WAL of its own", () => {
  test("but its count now and then, unlogged: a server of its own", async () => {
    await withThrowawayDatabase(async ({ url, sql }) => {
      await sql`alter system set autovacuum = off`;
      await sql`select pg_reload_conf()`;
      const clusterId = await makeCluster(sql);
      await publish(sql, { clusterId }, { iops: 1, burst: 2, bytes: 1000 });
      // In debt of bytes for an hour.
      const appId = await limitedApplication(
        sql,
        { iops: 1, burst: 100, bytes: 1000 },
        { clusterId },
      );
      await sql`select rate_limiter.consume(${appId}, 'head', 900, 'large')`;
      await sql`select rate_limiter.settle(${appId}, 'large', 1000000000000)`;
      await withConnection(withRole(url, "rate_limiter_app"), async (gateway) => {
        for (const [name, deny] of Object.entries(denied)) {
          const before = await dataPlane(sql);
          // A commit record at most, where one of the fifty came at a power of two or a new second.
          expect(await leastWalOf(sql, () => deny(gateway, appId)), name).toBeLessThan(100);
          await gateway.begin(async (transaction) => {
            const started = performance.now();
            const earlier = await writesIn(transaction as unknown as Sql);
            const answers = await deny(transaction as unknown as Sql, appId);
            expect(answers, name).toEqual(Array(50).fill({ allowed: false }));
            const seconds = 1 + Math.ceil((performance.now() - started) / 1000);
            const writes = (await writesIn(transaction as unknown as Sql)) - earlier;
            expect(writes, name).toBeLessThanOrEqual(Math.log2(50) + 1 + seconds);
          });
          expect(await dataPlane(sql), name).toEqual(before);
        }
      });
    });
  });

  test("which takes log2(N) + 1 small writes of N denials in a second, and no page more", async () => {
    await withThrowawayDatabase(async ({ url, sql }) => {
      const appId = crypto.randomUUID();
      await withConnection(withRole(url, "rate_limiter_owner"), (session) =>
        session.begin(async (transaction) => {
          const earlier = await writesIn(transaction as unknown as Sql);
          await transaction`
            select rate_limiter_internal.count_denial(
              7, '2026-01-01T00:00:00Z', ${appId},
              'iops_l2', 1, 10
            )
            from generate_series(1, 1000)
          `;
          expect((await writesIn(transaction as unknown as Sql)) - earlier).toBe(10);
        }),
      );
      const [row] = await sql`
        select c.relpersistence, c.relpages, pg_relation_size(c.oid)::integer as bytes
        from pg_class as c
        where c.oid = 'rate_limiter.recent_denials'::regclass
      `;
      expect(row?.relpersistence).toBe("u");
      expect(row?.bytes).toBeLessThanOrEqual(8192);
    });
  });
});

/** Rows of counts that the session has written, as far as it has not reported that yet. */
async function writesIn(transaction: Sql): Promise<number> {
  const [row] = await transaction`
    select (
      pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
    )::integer as writes
    from pg_class as c
    where c.oid = 'rate_limiter.recent_denials'::regclass
  `;
  return row?.writes;
}

/** The server itself writes a little now and then: what a denial writes, every round has. */
async function leastWalOf(sql: Sql, work: () => PromiseLike<unknown>): Promise<number> {
  const rounds: number[] = [];
  while (rounds.length < 5 && rounds.at(-1) !== 0) {
    const [before] = await sql`select pg_current_wal_insert_lsn() as lsn`;
    await work();
    const [after] = await sql`
      select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), ${before?.lsn}::text::pg_lsn) as bytes
    `;
    rounds.push(Number(after?.bytes));
  }
  return Math.min(...rounds);
}
