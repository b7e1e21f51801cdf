import pg from "pg";
import { afterAll, expect, test } from "vitest";
import { inOneTransaction, transactionalService } from "../../src/api/requests/one-transaction.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const pool = new pg.Pool({ connectionString: database.urlAs("rate_limiter_authenticator") });
afterAll(() => pool.end());

const settings = { role: "rate_limiter_visitor", statement_timeout: "10000" };
const { adaptor, ...service } = transactionalService({ pool });
const withPgClient = await adaptor.createWithPgClient(service.adaptorSettings ?? {});

/** What a statement of a request finds its limit to be. */
const limit = () =>
  withPgClient(settings, async (client) => {
    const { rows } = await client.query<{ limit: string }>({
      text: `select current_setting('statement_timeout') as "limit"`,
    });
    return rows[0]?.limit;
  });

test("a request of one transaction has the time of one statement, however many it has", async () => {
  let passed = 0;
  const ending = inOneTransaction(
    pool,
    settings,
    ({ run }) =>
      run(async () => {
        expect(await limit()).toBe("10s");
        passed = 9_000;
        expect(await limit()).toBe("1s");
        passed = 10_000;
        return { result: await limit(), commit: true };
      }),
    () => passed,
  );
  await expect(ending).rejects.toMatchObject({ code: "QS503", message: "query took too long" });
  // Outside of it each statement has all of that.
  expect(await limit()).toBe("10s");
});
