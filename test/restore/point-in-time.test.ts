import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { isDatabaseReady } from "../../src/api/http/health.ts";
import { migrate } from "../../src/migrations/migrate.ts";
import { serverAccount } from "../../src/postgres/account.ts";
import { findBinaries } from "../../src/postgres/binaries.ts";
import { createCluster, giveTo } from "../../src/postgres/cluster.ts";
import { connect, type Sql, withConnection } from "../../src/postgres/connect.ts";
import { freePort } from "../../src/postgres/free-port.ts";
import { type RunningServer, startServer } from "../../src/postgres/server.ts";
import { withDatabase, withRole } from "../../src/postgres/url.ts";
import { eventually } from "../harness/index.ts";
import { ledgerGaps, limitedApplication } from "../sql/world.ts";
import { drill, findClient, perform } from "./postgres-client.ts";

/** The drill of docs/backup-restore.md, with a server that archives its WAL. */
const account = serverAccount();
const binaries = findBinaries(account);
const home = mkdtempSync(join(tmpdir(), "storage-qos-restore-"));
const folder = join(home, "data");
const restored = join(home, "base");
const wal = join(home, "wal");
mkdirSync(wal);
giveTo(account, home, wal);
const superuserPassword = crypto.randomUUID();
await createCluster({ binaries, account, folder, superuserPassword, durable: false });

const client = findClient(Number(readFileSync(join(folder, "PG_VERSION"), "utf8")));
const [backupCommand] = drill("## By base backup and WAL: any moment");

let server: RunningServer | undefined;
afterAll(async () => {
  await server?.stop();
  rmSync(home, { recursive: true, force: true, maxRetries: 5 });
});

async function serve(data: string, settings: Record<string, string>): Promise<string> {
  const port = await freePort();
  server = await startServer({
    ...{ binaries, account, folder: data, port, logFile: join(home, "postgres.log") },
    settings: { fsync: "off", shared_preload_libraries: "pg_stat_statements", ...settings },
  });
  return `postgres://postgres:${superuserPassword}@127.0.0.1:${port}/postgres`;
}

async function takeBaseBackup(url: string): Promise<void> {
  if (client === undefined) await copyByHand(url);
  else await perform(backupCommand, client, { BACKUP: home, SERVER_URL: url });
  writeFileSync(join(restored, "recovery.signal"), "");
  giveTo(
    account,
    restored,
    ...readdirSync(restored, { recursive: true, encoding: "utf8" }).map((name) =>
      join(restored, name),
    ),
  );
}

/** What pg_basebackup does, where there is none: the embedded server comes without it. */
async function copyByHand(url: string): Promise<void> {
  await withConnection(url, async (sql) => {
    await sql`select pg_backup_start('drill', true)`;
    await promisify(execFile)("cp", ["-a", folder, restored]);
    const [label] = await sql`select labelfile, spcmapfile from pg_backup_stop()`;
    rmSync(join(restored, "postmaster.pid"));
    rmSync(join(restored, "pg_wal"), { recursive: true });
    mkdirSync(join(restored, "pg_wal"), { mode: 0o700 });
    writeFileSync(join(restored, "backup_label"), label?.labelfile);
  });
}

async function consume(url: string, appId: string, times: number): Promise<void> {
  await withConnection(withRole(url, "rate_limiter_app"), async (sql) => {
    for (let call = 0; call < times; call++) {
      const [decision] = await sql`
        select allowed from rate_limiter.consume(${appId}, 'read_small', 100)
      `;
      expect(decision?.allowed).toBe(true);
    }
  });
}

/** Everything of the buckets and the ledger that a decision leaves behind. */
async function traces(sql: Sql) {
  return sql`
    select b.bucket_type, b.current_tokens, b.ledger_seq, (
      select count(*) from rate_limiter.token_transactions as t where t.owner_id = b.owner_id
    ) as ledger_rows
    from rate_limiter.token_buckets as b
    order by b.bucket_type
  `;
}

test("a base backup and archived WAL bring back the moment before a mistake", async () => {
  const url = await serve(folder, {
    archive_mode: "on",
    archive_command: `test ! -f ${wal}/%f && cp %p ${wal}/%f`,
  });
  await withConnection(url, (sql) => sql`create database drill`);
  const database = withDatabase(url, "drill");
  await migrate(database);
  const sql = connect(database);
  const appId = await limitedApplication(sql, { iops: 1, burst: 10_000, bytes: 1_000_000 });

  await consume(database, appId, 5);
  await takeBaseBackup(url);
  await consume(database, appId, 7);
  const before = await traces(sql);
  await sql`select pg_create_restore_point('before the mistake')`;
  await consume(database, appId, 3);
  await sql`delete from rate_limiter.token_transactions`;
  expect(await ledgerGaps(sql)).not.toEqual([]);
  await sql.end();
  // Stopping archives what is left of the WAL.
  await server?.stop();

  const again = await serve(restored, {
    restore_command: `cp ${wal}/%f %p`,
    recovery_target_name: "before the mistake",
    recovery_target_action: "promote",
  });
  const drilled = withDatabase(again, "drill");
  await withConnection(drilled, async (restoredSql) => {
    // It answers queries before it is promoted.
    await eventually(async () => expect(await isDatabaseReady(restoredSql)).toBe(true));
    expect(await traces(restoredSql)).toEqual(before);
    expect(await ledgerGaps(restoredSql)).toEqual([]);
    await consume(drilled, appId, 2);
    expect(await ledgerGaps(restoredSql)).toEqual([]);
  });
});
