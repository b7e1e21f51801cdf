import { Logger, run } from "graphile-worker";
import { describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../harness/index.ts";

const database = await createDatabase();

/** What a job function of the owner does, called by a role that may do no more than call it. */
const enqueue = `
  create function rate_limiter_private.enqueue() returns void
  language sql security definer set search_path = pg_catalog, pg_temp
  as $$ select graphile_worker.add_job('greet', '{"whom": "storage"}'::json) $$;
  grant usage on schema rate_limiter_private to rate_limiter_app;
  grant execute on function rate_limiter_private.enqueue() to rate_limiter_app;
`;

describe("the job queue", () => {
  test("takes jobs from the owner's functions and gives them to the worker's login", async () => {
    await database.as("rate_limiter_owner").unsafe(enqueue).simple();
    await database.as("rate_limiter_app")`select rate_limiter_private.enqueue()`;

    const done = Promise.withResolvers<unknown>();
    const runner = await run({
      connectionString: database.urlAs("rate_limiter_worker"),
      taskList: { greet: (payload) => done.resolve(payload) },
      noHandleSignals: true,
      logger: new Logger(() => () => {}),
    });
    try {
      expect(await done.promise).toEqual({ whom: "storage" });
    } finally {
      await runner.stop();
    }
  });

  test.each(["rate_limiter_app", "rate_limiter_visitor", "rate_limiter_readonly"] as const)(
    "is closed to %s",
    async (role) => {
      const adding = database.as(role)`select graphile_worker.add_job('greet')`;
      await expectSqlState(adding, "42501");
    },
  );

  test("has no function that PUBLIC may call", async () => {
    const open = await database.sql`
      select p.oid::regprocedure::text as name
      from pg_proc as p
      cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
      where p.pronamespace = 'graphile_worker'::regnamespace and g.grantee = 0
    `;
    expect(open).toEqual([]);
  });

  test("belongs to the worker, who may make no other schema", async () => {
    const making = database.as("rate_limiter_worker")`create schema breach`;
    await expectSqlState(making, "42501");
    const reading = database.as("rate_limiter_worker")`select from rate_limiter_private.api_keys`;
    await expectSqlState(reading, "42501");
  });
});
