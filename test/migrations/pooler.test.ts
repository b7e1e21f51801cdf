import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { migrate } from "../../src/migrations/migrate.ts";
import { serverAccount } from "../../src/postgres/account.ts";
import { withConnection } from "../../src/postgres/connect.ts";
import { freePort } from "../../src/postgres/free-port.ts";
import { withDatabase } from "../../src/postgres/url.ts";
import { createDatabase, unlessRequired } from "../harness/index.ts";

const database = await createDatabase();
const isMissing =
  unlessRequired(
    spawnSync("pgbouncer", ["--version"]).status === 0 ? undefined : "pgbouncer is not installed",
  ) !== undefined;

/** A database of this server without our schema. */
async function emptyDatabase(): Promise<string> {
  const name = `${database.name}_pooled_${Math.random().toString(36).slice(2, 8)}`;
  await withConnection(database.url, (sql) => sql.unsafe(`create database ${name}`));
  onTestFinished(() =>
    withConnection(database.url, async (sql) => {
      await sql.unsafe(`drop database ${name} with (force)`);
    }),
  );
  return withDatabase(database.url, name);
}

/** Debian's PgBouncer before the database; its passwords are those of the URL. */
async function startPooler(url: string, mode: string, ignored: string): Promise<string> {
  const { hostname, port, username, password } = new URL(url);
  const folder = mkdtempSync(join(tmpdir(), "pooler-"));
  chmodSync(folder, 0o755);
  const own = await freePort();
  const users = join(folder, "users.txt");
  const secret = decodeURIComponent(password);
  writeFileSync(users, `"${decodeURIComponent(username)}" "${secret}"\n`, { mode: 0o644 });
  const config = join(folder, "pgbouncer.ini");
  writeFileSync(
    config,
    `[databases]
* = host=${hostname} port=${port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${own}
unix_socket_dir =
auth_type = plain
auth_file = ${users}
pool_mode = ${mode}
default_pool_size = 4
ignore_startup_parameters = ${ignored}
`,
  );
  const child = spawn("pgbouncer", [config], { stdio: "ignore", ...serverAccount() });
  onTestFinished(() => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });
  while (!(await answers(own))) await sleep(20);
  const pooled = new URL(url);
  pooled.hostname = "127.0.0.1";
  pooled.port = String(own);
  return pooled.href;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

async function locksOf(url: string): Promise<number> {
  const [row] = await withConnection(
    url,
    (sql) => sql<{ count: number }[]>`
      select count(*)::integer as count
      from pg_locks as l join pg_database as d on d.oid = l.database
      where l.locktype = 'advisory' and d.datname = current_database()
    `,
  );
  return row?.count ?? -1;
}

const everyParameter =
  "options, default_transaction_isolation, IntervalStyle, bytea_output, extra_float_digits";

test.skipIf(isMissing).each([
  ["that refuses settings", "transaction", "extra_float_digits"],
  ["that drops settings", "transaction", everyParameter],
])("a pooler of transactions %s is refused, and holds no lock", async (_, mode, ignored) => {
  const url = await emptyDatabase();
  const pooled = await startPooler(url, mode, ignored);
  await expect(migrate(pooled)).rejects.toMatchObject({
    code: "connection_is_pooled",
    hint: expect.stringContaining("direct connection"),
  });
  expect(await locksOf(url)).toBe(0);
  await migrate(url);
});

test.skipIf(isMissing)("a pooler of sessions that drops the role is refused", async () => {
  const url = await emptyDatabase();
  const pooled = await startPooler(url, "session", everyParameter);
  await expect(migrate(pooled)).rejects.toMatchObject({ code: "role_not_in_effect" });
  expect(await locksOf(url)).toBe(0);
});

test("a migration that waits too long says which session holds the lock", async () => {
  await withConnection(database.url, async (sql) => {
    const [{ pid }] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`;
    await sql`select pg_advisory_lock(hashtextextended('storage-qos migrate', 0))`;
    await expect(migrate(database.url, { waitMs: 200 })).rejects.toMatchObject({
      code: "migration_locked",
      message: expect.stringContaining(`process ${pid}`),
      hint: expect.stringContaining(`pg_terminate_backend(${pid})`),
    });
  });
  await migrate(database.url);
});
