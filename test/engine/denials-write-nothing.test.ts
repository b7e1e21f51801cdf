import { describe, expect, test } from "vitest";
import { type Sql, withConnection } from "../../src/postgres/connect.ts";
import { withThrowawayDatabase } from "../../src/postgres/throwaway-database.ts";
import { withRole } from "../../src/postgres/url.ts";
import { dataPlane, limitedApplication, makeCluster, publish } from "./world.ts";

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
    cross join lateral rate_limiter.consume_together(array[${appId}::uuid], '{head}', '{1}') as d
  `,
  "a look": (sql, appId) => sql`
    select (rate_limiter.check_limit(${appId}, 'list', 0)).allowed from generate_series(1, 50)
  `,
  "a lease of nothing": (sql, appId) => sql`
    select (rate_limiter.lease_tokens(${appId}, 0, 5000)).lease_id is not null as allowed
    from generate_series(1, 50)
  `,
};

describe("a denial writes nothing", () => {
  test("no WAL, no row, and takes no transaction id: a server of its own", async () => {
    await withThrowawayDatabase(async ({ url, sql }) => {
      await sql`alter system set autovacuum = off`;
      await sql`select pg_reload_conf()`;
      const clusterId = await makeCluster(sql);
      await publish(sql, { clusterId }, { iops: 1, burst: 2, bytes: 1000 });
      // Nothing of bytes is left for the next hundred years.
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
          expect(await leastWalOf(sql, () => deny(gateway, appId)), name).toBe(0);
          await gateway.begin(async (transaction) => {
            const answers = await deny(transaction as unknown as Sql, appId);
            expect(answers, name).toEqual(Array(50).fill({ allowed: false }));
            const [row] = await transaction`select pg_current_xact_id_if_assigned() as id`;
            expect(row?.id, name).toBeNull();
          });
          expect(await dataPlane(sql), name).toEqual(before);
        }
      });
    });
  });
});

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
