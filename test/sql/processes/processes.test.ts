import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ProcessReporter } from "../../../src/client/process-reporter.ts";
import { openConnections } from "../../../src/client/store/open-connections.ts";
import { Store } from "../../../src/client/store/store.ts";
import { projectPath } from "../../../src/paths.ts";
import { startWorker } from "../../../src/worker/worker.ts";
import { dataOf, roleNames, serveTwoTenants } from "../../api/world.ts";
import { expectSqlState } from "../../harness/index.ts";
import { holdClock } from "../../worker/hold-clock.ts";

const { database, api, as } = await serveTwoTenants();
const app = database.as("rate_limiter_app");

const report = (processId: string, kind = "gateway", calls = 7) => app`
  select rate_limiter.report_process(
    ${processId}, ${kind}, 'gate one', 'a host', '1.2.3', interval '2 minutes', 3, ${calls}, 1, 0
  )
`;
const processOf = async (processId: string) =>
  (
    await database.sql`
      select kind, name, database_calls,
        extract(epoch from seen_at - started_at)::integer as seconds
      from rate_limiter.processes where process_id = ${processId}
    `
  )[0];

describe("a process that reports", () => {
  test("is there from its start on, as what it says last", async () => {
    const processId = randomUUID();
    await report(processId);
    await report(processId, "gateway", 9);
    const process = await processOf(processId);
    expect(process).toMatchObject({ kind: "gateway", name: "gate one", database_calls: "9" });
    expect(process?.seconds).toBeGreaterThanOrEqual(120);
    await app`select rate_limiter.end_process(${processId})`;
    expect(await processOf(processId)).toBeUndefined();
  });

  test("cannot speak for the process of another login", async () => {
    const processId = randomUUID();
    await report(processId);
    const other = database.as("rate_limiter_worker");
    await other`select rate_limiter.end_process(${processId})`;
    expect(await processOf(processId)).toMatchObject({ kind: "gateway" });
  });

  test("is refused where the report means nothing", async () => {
    await expectSqlState(report(randomUUID(), "toaster"), "QS422");
    await expectSqlState(report(randomUUID(), "gateway", -1), "23514");
    const before = app`
      select rate_limiter.report_process(${randomUUID()}, 'client', 'x', 'x', 'x', '-1 s')
    `;
    await expectSqlState(before, "QS422");
  });

  test("is refused beyond a thousand of its login, until silent ones have made room", async () => {
    await database.withTransaction("rate_limiter_owner", {}, async (sql) => {
      await sql`
        insert into rate_limiter.processes
        select session_user, gen_random_uuid(), 'client', 'n', 'h', 'v', now(), now(), 0, 0, 0, 0
        from generate_series(1, 1000)
      `;
      const one = () => sql`
        select rate_limiter.report_process(gen_random_uuid(), 'client', 'n', 'h', 'v', '1 s')
      `;
      await expectSqlState(
        sql.savepoint(() => one()),
        "QS429",
      );
      await sql`update rate_limiter.processes set seen_at = now() - interval '2 minutes'`;
      await one();
      const [left] = await sql`
        select count(*)::integer from rate_limiter.processes where login = session_user
      `;
      expect(left?.count).toBe(1);
    });
  });
});

const query = "{ processes(first: 50) { nodes { kind name isSilent databaseCalls } } }";

test("only system administrators see processes, and which are silent", async () => {
  await report(randomUUID());
  await database.sql`
    update rate_limiter.processes set seen_at = now() - interval '91 seconds' where kind = 'gateway'
  `;
  const { processes } = await dataOf(as.system_admin.ask(query));
  expect(processes.nodes).toContainEqual(
    expect.objectContaining({ kind: "GATEWAY", isSilent: true }),
  );
  expect(processes.nodes).toContainEqual(expect.objectContaining({ kind: "API", isSilent: false }));
  for (const role of roleNames.filter((name) => name !== "system_admin")) {
    const { processes: seen } = await dataOf(as[role].ask(query));
    expect(seen.nodes, role).toEqual([]);
  }
  const { processes: unknown } = await dataOf(api.nobody.ask(query));
  expect(unknown.nodes).toEqual([]);
});

test("a worker is there while it runs", async () => {
  await holdClock(database);
  const worker = await startWorker({ databaseUrl: database.urlAs("rate_limiter_worker") });
  const count = async () => {
    const [row] = await database.sql`
      select value from rate_limiter_private.metrics_snapshot()
      where name = 'processes' and label = 'worker'
    `;
    return row?.value;
  };
  await expect.poll(count).toBe(1);
  await worker.stop();
  expect(await count()).toBe(0);
});

test("a client is there until it closes, with its version and what it has done", async () => {
  const connections = openConnections(database.urlAs("rate_limiter_app"), 5_000, console);
  const store = new Store(connections, 5_000, () => {});
  const name = "a holder of leases";
  const counts = { applications: 2, databaseCalls: 5, outages: 1, uncharged: 3 };
  const reporter = new ProcessReporter(store, name, () => counts);
  const found = () => database.sql`
    select kind, version, application_count, uncharged_operations
    from rate_limiter.processes where name = ${name}
  `;
  await reporter.report();
  const { version } = JSON.parse(readFileSync(projectPath("src/client/package.json"), "utf8"));
  expect(await found()).toEqual([
    { kind: "client", version, application_count: 2, uncharged_operations: "3" },
  ]);
  await reporter.end();
  expect(await found()).toEqual([]);
  await connections.close();
});
