import pg from "pg";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import {
  type BatchingClient,
  type BatchingClientOptions,
  ClosedError,
  createBatchingClient,
  InvalidRequestError,
  NotFoundError,
  UnavailableError,
} from "../../src/client/index.ts";
import { connect } from "../../src/postgres/connect.ts";
import { createDatabase } from "../harness/index.ts";
import { addQuota, type ClientWorld, makeWorld } from "./world.ts";

const database = await createDatabase();
const url = database.urlAs("rate_limiter_app");
let world: ClientWorld;

beforeEach(async () => {
  world = await makeWorld(database);
});

function batchingClientFor(options: Partial<BatchingClientOptions> = {}): BatchingClient {
  const client = createBatchingClient({ connection: url, ...options });
  onTestFinished(() => client.close());
  return client;
}

/** Counts what is asked of a pool of `pg`, and by which function. */
function countedPool() {
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  onTestFinished(() => pool.end());
  const calls: string[] = [];
  const query: pg.Pool["query"] = pool.query.bind(pool);
  return {
    calls,
    pool: {
      query(statement: { name: string; text: string; values: unknown[] }) {
        calls.push(statement.text.match(/rate_limiter\.(\w+)\(/)?.[1] ?? "?");
        return query(statement);
      },
    },
  };
}

/** In no cluster: what these are charged needs nothing of layer 1. */
async function manyApplications(count: number, iops: number): Promise<string[]> {
  const made = await database.sql<{ app_id: string }[]>`
    insert into rate_limiter.applications (tenant_id, name)
    select ${world.tenantId}, 'one of many ' || n from generate_series(1, ${count}::int) as n
    returning app_id
  `;
  const ids = made.map(({ app_id }) => app_id);
  for (const appId of ids) await addQuota(database, { appId }, { iops: { limit: 1, burst: iops } });
  return ids;
}

/** By the ledger, which leaves out refill. */
async function chargedTo(appId: string): Promise<number> {
  const [row] = await database.sql`
    select coalesce(-sum(t.tokens_change), 0)::float8 as tokens
    from rate_limiter.token_transactions as t
    where t.owner_id = ${appId} and t.transaction_type = 'consume'
  `;
  return row?.tokens;
}

const gaps = () => database.sql`select * from rate_limiter.verify_ledger()`;

describe("decide", () => {
  test("a size that is not known yet, alone and among others", async () => {
    await addQuota(database, { appId: world.appId }, { bytesPerSecond: 1_000 });
    const others = await manyApplications(2, 100);
    const client = batchingClientFor();
    const asked = () =>
      Promise.all([
        client.decide(world.appId, "write_small", null),
        client.decide(world.appId, "write_small", null),
        client.decide(world.appId, "write_small", null, { reference: "upload" }),
        ...others.map((appId) => client.decide(appId, "write_small", null)),
      ]);
    for (const decision of await asked()) expect(decision.allowed).toBe(true);
    const [settled] = await database.as("rate_limiter_app")`
      select s.settled from rate_limiter.settle(${world.appId}, 'upload', 60000) as s
    `;
    expect(settled?.settled).toBe(true);
    // A retry answers as before.
    expect((await asked()).map(({ allowed }) => allowed)).toEqual([false, false, true, true, true]);
  });

  test("asks the database, and answers what it says", async () => {
    await addQuota(database, { appId: world.appId }, { iops: { limit: 1, burst: 2 } });
    const client = batchingClientFor();
    expect(await client.decide(world.appId, "head")).toMatchObject({
      allowed: true,
      remaining: 1,
    });
    expect(await client.decide(world.appId, "head")).toMatchObject({ allowed: true });
    // One token a second flows in: on a slow machine it may take some more.
    let denied = await client.decide(world.appId, "head");
    while (denied.allowed) denied = await client.decide(world.appId, "head");
    expect(denied).toMatchObject({ allowed: false, layer: 2, reason: "iops_l2" });
    expect(denied.retryAfterMs).toBeGreaterThan(0);
  });

  test("takes together what comes while it asks, each charged exactly once", async () => {
    const ids = await manyApplications(20, 50);
    const { pool, calls } = countedPool();
    const client = batchingClientFor({ connection: pool });
    for (const id of ids) await client.decide(id, "head");
    calls.length = 0;

    const asked = Array.from({ length: 200 }, (_, i) => ids[i % ids.length] as string);
    const decisions = await Promise.all(asked.map((id) => client.decide(id, "head")));
    expect(decisions.every(({ allowed }) => allowed)).toBe(true);
    expect(calls.length).toBeLessThan(asked.length / 2);
    for (const id of ids) expect(await chargedTo(id)).toBe(11);
    expect(await gaps()).toEqual([]);
  });

  test("takes operations of many applications in one call", async () => {
    const ids = await manyApplications(12, 50);
    const { pool, calls } = countedPool();
    const client = batchingClientFor({ connection: pool, callsAtOnce: 1 });
    for (const id of ids) await client.decide(id, "head");
    calls.length = 0;
    const decisions = await Promise.all(ids.map((id) => client.decide(id, "head")));
    expect(decisions).toMatchObject(Array(ids.length).fill({ allowed: true }));
    // Where none is under way the first does not wait for the others.
    expect(calls.filter((call) => call !== "consume")).toEqual(["consume_many"]);
    expect(calls.length).toBeLessThanOrEqual(2);
  });

  test("never admits more than there is, however many ask at once", async () => {
    const [one, two] = await manyApplications(2, 30);
    const client = batchingClientFor();
    const asked = Array.from({ length: 120 }, (_, i) => (i % 2 === 0 ? one : two) as string);
    const decisions = await Promise.all(asked.map((id) => client.decide(id, "list")));
    const admitted = decisions.filter(({ allowed }) => allowed).length;
    // A list costs more than a token, and one a second flows in.
    const [cost] = await database.sql`
      select c_base from rate_limiter.operation_types where name = 'list'
    `;
    expect(admitted).toBeLessThanOrEqual(2 * Math.ceil(34 / Number(cost?.c_base)));
    expect(admitted).toBeGreaterThan(0);
    expect(decisions.some(({ allowed }) => !allowed)).toBe(true);
    expect(await gaps()).toEqual([]);
  });

  test("under a reference charges a retry nothing", async () => {
    await addQuota(database, { appId: world.appId }, { iops: { limit: 1, burst: 10 } });
    const client = batchingClientFor();
    const ask = () => client.decide(world.appId, "head", 0, { reference: "upload" });
    expect(await Promise.all([ask(), ask()])).toMatchObject([{ allowed: true }, { allowed: true }]);
    expect(await chargedTo(world.appId)).toBe(1);
    expect(await gaps()).toEqual([]);
  });

  test("an invalid request fails alone", async () => {
    const ids = await manyApplications(3, 50);
    const client = batchingClientFor({ callsAtOnce: 1 });
    const answers = await Promise.allSettled([
      ...ids.map((id) => client.decide(id, "head")),
      client.decide(ids[0] as string, "no such operation"),
      client.decide("00000000-0000-0000-0000-000000000000", "head"),
      client.decide("no id", "head"),
      client.decide(ids[1] as string, "head", -1),
      client.decide(ids[2] as string, undefined as unknown as string),
    ]);
    expect(answers.slice(0, 3)).toMatchObject(Array(3).fill({ value: { allowed: true } }));
    const reasons = answers.slice(3).map((answer) => (answer as PromiseRejectedResult).reason);
    expect(reasons[0]).toBeInstanceOf(NotFoundError);
    expect(reasons[1]).toBeInstanceOf(NotFoundError);
    expect(reasons[2]).toBeInstanceOf(NotFoundError);
    expect(reasons[3]).toBeInstanceOf(InvalidRequestError);
    expect(reasons[4]).toBeInstanceOf(InvalidRequestError);
  });

  test.each([
    ["a pool of postgres", () => url],
    ["a pool of pg", () => countedPool().pool],
  ])("a name that the database cannot store fails alone, in %s", async (_, connect) => {
    const names = [
      "head",
      "he\0ad",
      "head",
      "\ud800",
      "head",
      '"he\\ad"',
      "head",
      "{a,b}\n",
      "head",
    ];
    const ids = await manyApplications(names.length, 50);
    const client = batchingClientFor({ connection: connect() as string, callsAtOnce: 1 });
    const answers = await Promise.allSettled(
      names.map((name, i) => client.decide(ids[i] as string, name)),
    );
    for (const [i, name] of names.entries()) {
      if (name === "head") expect(answers[i]).toMatchObject({ value: { allowed: true } });
      else
        expect(answers[i]).toMatchObject({ reason: { code: expect.stringMatching(/QS4(04|22)/) } });
    }
    expect(answers[1]).toMatchObject({ reason: expect.any(InvalidRequestError) });
    expect(answers[5]).toMatchObject({ reason: expect.any(NotFoundError) });
    for (const [i, id] of ids.entries()) {
      expect(await chargedTo(id)).toBe(names[i] === "head" ? 1 : 0);
    }
  });

  test("says so where the database is away", async () => {
    const client = batchingClientFor({ connection: "postgres://nobody@127.0.0.1:1/nowhere" });
    await expect(client.decide(world.appId, "head")).rejects.toBeInstanceOf(UnavailableError);
  });
});

describe("close", () => {
  test("waits for what was asked, and refuses the rest", async () => {
    await addQuota(database, { appId: world.appId }, { iops: { limit: 1, burst: 10 } });
    const client = batchingClientFor();
    const asked = [1, 2, 3].map(() => client.decide(world.appId, "head"));
    await client.close();
    expect(await Promise.all(asked)).toMatchObject(Array(3).fill({ allowed: true }));
    await expect(client.decide(world.appId, "head")).rejects.toBeInstanceOf(ClosedError);
  });

  test("leaves a pool that is not its own open", async () => {
    const sql = connect(url, { max: 1 });
    onTestFinished(() => sql.end());
    await createBatchingClient({ connection: sql }).close();
    expect(await sql`select 1 as one`).toMatchObject([{ one: 1 }]);
  });
});
