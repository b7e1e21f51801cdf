import { committedMigrations } from "../migrations/committed-migrations.ts";
import { type Sql, withConnection } from "../postgres/connect.ts";
import type { DataFolder } from "../postgres/data-folder.ts";
import { urlFrom, withoutPassword, withRole } from "../postgres/url.ts";
import { apiDeclaration } from "../settings/api.ts";
import { readSettings } from "../settings/read-settings.ts";
import { version } from "../version.ts";
import { readDemoKey } from "./demo-key.ts";
import { findLocalDatabase, localDataFolder } from "./local-database.ts";
import { readRunning } from "./running.ts";

export type Health = "ready" | "not ready" | "does not answer";

export interface DatabaseStatus {
  /** Without a password. */
  readonly url: string;
  readonly serverVersion: string;
  readonly schema: "up to date" | "other migrations than this code has";
  readonly isReadOnly: boolean;
  /** Worker processes that reported within a minute. */
  readonly workers: number;
  /** What system administrators sign in with: addresses and tenants. */
  readonly administrators: readonly string[];
}

export interface Status {
  readonly version: string;
  readonly node: string;
  readonly isWell: boolean;
  readonly api: { readonly url: string; readonly health: Health };
  readonly database: DatabaseStatus | { readonly problem: string };
  readonly startedAt?: string;
  readonly workerUrl?: string;
  /** Of the database that `npm start` made. */
  readonly data?: DataFolder;
  readonly port?: number;
  readonly demoKey?: string;
}

/** What runs here, where it is, and whether it is well. Changes nothing. */
export async function readStatus(env: NodeJS.ProcessEnv): Promise<Status> {
  const given = urlFrom(env, "DATABASE_URL");
  const local = given === undefined ? findLocalDatabase(env) : undefined;
  const data = given === undefined ? localDataFolder(env) : undefined;
  const running = data && readRunning(data.running);
  const url = running?.apiUrl ?? usualApiUrl(env);
  const [database, health] = await Promise.all([
    describeDatabase(given ?? local?.urlOf("postgres")),
    healthOf(url),
  ]);
  const demoKey = data && readDemoKey(data.demoKey);
  return {
    ...{ version, node: process.version, api: { url, health }, database },
    isWell: health === "ready" && isDatabaseWell(database),
    ...(running && { startedAt: running.startedAt }),
    ...(running?.workerUrl && { workerUrl: running.workerUrl }),
    ...(data && { data }),
    ...(local && { port: local.port }),
    ...(demoKey && { demoKey }),
  };
}

function isDatabaseWell(database: Status["database"]): boolean {
  if (!("workers" in database)) return false;
  return database.schema === "up to date" && database.workers > 0 && !database.isReadOnly;
}

function usualApiUrl(env: NodeJS.ProcessEnv): string {
  const { host, port } = readSettings(env, apiDeclaration);
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}/`;
}

const timeoutMs = 5_000;

async function healthOf(url: string): Promise<Health> {
  try {
    const answer = await fetch(new URL("readyz", url), { signal: AbortSignal.timeout(timeoutMs) });
    return answer.ok ? "ready" : "not ready";
  } catch {
    return "does not answer";
  }
}

async function describeDatabase(url: string | undefined): Promise<Status["database"]> {
  if (url === undefined) return { problem: "storage-qos start does not run on this data folder" };
  try {
    return await withConnection(withRole(url, "rate_limiter_owner"), (sql) => ask(sql, url));
  } catch (error) {
    return { problem: (error as Error).message || String(error) };
  }
}

async function ask(sql: Sql, url: string): Promise<DatabaseStatus> {
  const [row] = await sql<[Row]>`
    select
      current_setting('server_version') as server_version,
      current_setting('transaction_read_only')::boolean as is_read_only,
      array(select rate_limiter_private.applied_migrations()) as applied,
      (
        select count(*)::integer
        from rate_limiter_private.job_workers as w
        where w.seen_at > now() - interval '1 minute'
      ) as workers,
      array(
        select distinct u.email::text || ' of the tenant ' || t.name
        from rate_limiter.users as u
        join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
        join rate_limiter.user_roles as ur on ur.user_id = u.user_id
        join rate_limiter.roles as r on r.role_id = ur.role_id
        where r.name = 'system_admin' and u.is_active
        order by 1
        limit 10
      ) as administrators
  `;
  const known = committedMigrations();
  const isSame = String(row.applied) === String(known.toSorted());
  return {
    url: `${withoutPassword(url)}`,
    serverVersion: row.server_version,
    schema: isSame ? "up to date" : "other migrations than this code has",
    isReadOnly: row.is_read_only,
    workers: row.workers,
    administrators: row.administrators,
  };
}

interface Row {
  readonly server_version: string;
  readonly is_read_only: boolean;
  readonly applied: readonly string[];
  readonly workers: number;
  readonly administrators: readonly string[];
}
