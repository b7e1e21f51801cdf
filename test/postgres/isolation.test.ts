import { expect, onTestFinished, test } from "vitest";
import { createBatchingClient, createLimiter } from "../../src/client/index.ts";
import { migrateSettings } from "../../src/migrations/settings.ts";
import { withConnection } from "../../src/postgres/connect.ts";
import { openPool } from "../../src/worker/pool.ts";
import { createApiDatabase, givePasswords, serveApi } from "../api/api.ts";
import { refusingPooler } from "../client/refusing-pooler.ts";
import { addQuota, makeWorld } from "../client/world.ts";
import { eventually } from "../harness/index.ts";
import { makeAdministrator } from "../sql/world.ts";

const database = await createApiDatabase();
const { appId } = await makeWorld(database);
await addQuota(database, { appId }, { iops: { limit: 100, burst: 1_000 } });
await makeAdministrator(database.sql);
await givePasswords(database);
await database.sql.unsafe(`
  alter database ${database.name} set default_transaction_isolation = 'serializable'
`);

const gateway = database.urlAs("rate_limiter_app");
const show = "show default_transaction_isolation";

test("a connection of the product is at read committed, whatever its database says", async () => {
  const rows = await withConnection(gateway, (sql) => sql.unsafe(show));
  expect([...rows]).toEqual([{ default_transaction_isolation: "read committed" }]);
});

test("a worker's pool is at read committed", async () => {
  const { pool, close } = openPool(database.urlAs("rate_limiter_worker"), 1);
  onTestFinished(close);
  const { rows } = await pool.query(show);
  expect(rows).toEqual([{ default_transaction_isolation: "read committed" }]);
});

test("migrations are at read committed", () => {
  const { connectionString } = migrateSettings(database.url);
  const options = new URL(connectionString ?? "").searchParams.get("options");
  expect(options).toContain("-c default_transaction_isolation=read\\ committed");
});

test("the admin API changes what it is asked to", async () => {
  const api = await serveApi(database);
  const [home] = await database.sql`
    select t.name
    from rate_limiter.tenants as t
    join rate_limiter.users as u on u.tenant_id = t.tenant_id
    where u.email = 'administrator@example.org'
  `;
  const administrator = await api.signIn("administrator@example.org", undefined, home?.name);
  const { data, errors } = await administrator.ask(
    `mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { prefix } }`,
    { input: { appId, name: "second" } },
  );
  expect(errors).toBeUndefined();
  expect(data.createApiKey.prefix).toMatch(/^qos_/);
});

test("the client decides, takes leases and asks for single decisions", async () => {
  const limiter = createLimiter({ connection: gateway, application: appId });
  onTestFinished(() => limiter.close());
  expect(await limiter.checkAsync("head")).toMatchObject({ allowed: true });
  const client = createBatchingClient({ connection: gateway });
  onTestFinished(() => client.close());
  expect(await client.decide(appId, "head", 0)).toMatchObject({ allowed: true });
});

test("the client does without behind a pooler that refuses the parameter", async () => {
  const pooler = await refusingPooler(gateway, "default_transaction_isolation");
  onTestFinished(pooler.close);
  await database.sql.unsafe(`
    alter database ${database.name} set default_transaction_isolation = 'read committed'
  `);
  const limiter = createLimiter({ connection: pooler.url, application: appId });
  onTestFinished(() => limiter.close());
  expect(await limiter.checkAsync("head")).toMatchObject({ allowed: true });
  expect(pooler.refused).toBeGreaterThan(0);
  expect(limiter.status()).toMatchObject({ storeFailures: 0, outages: 0 });
  await eventually(() => expect(limiter.status().changes).toBe("listening"));
});
