import { randomBytes } from "node:crypto";
import { migrate } from "../../src/migrations/migrate.ts";
import { type Sql, withConnection } from "../../src/postgres/connect.ts";
import { scramVerifier } from "../../src/postgres/scram.ts";
import type { ScratchServer } from "../../src/postgres/scratch-server.ts";
import { withDatabase, withRole } from "../../src/postgres/url.ts";
import { adopt } from "../../src/timescale/adopt.ts";
import { requireExtension } from "../../src/timescale/extension.ts";
import { hasHypertables } from "./samples.ts";
import { openTestServer } from "./test-server.ts";

/** The roles that log in; tests reach the owner and the visitor through two of them. */
const loginRoles = ["migrator", "app", "worker", "authenticator", "readonly"] as const;

/** What the test files get to know about the run: plain values, for they cross processes. */
export interface HarnessContext {
  /** The server's administrator. */
  readonly url: string;
  readonly template: string;
  /** Begins the name of everything that this run makes on the server. */
  readonly prefix: string;
  readonly password: string;
}

export interface HarnessServer {
  readonly context: HarnessContext;
  close(): Promise<void>;
}

export async function openHarness(): Promise<HarnessServer> {
  const server = await openTestServer();
  const prefix = `qos_test_${randomBytes(4).toString("hex")}`;
  const password = randomBytes(16).toString("hex");
  const context = { url: server.url, template: `${prefix}_template`, prefix, password };
  try {
    await createTemplate(context);
    await withConnection(server.url, (sql) => createLogins(sql, context));
  } catch (error) {
    await close(server, prefix);
    throw error;
  }
  return { context, close: () => close(server, prefix) };
}

async function createTemplate({ url, template }: HarnessContext): Promise<void> {
  await withConnection(url, (sql) => sql`create database ${sql(template)}`);
  await migrate(withDatabase(url, template));
  if (hasHypertables) await adoptTemplate(withDatabase(url, template));
  await withConnection(
    url,
    (sql) => sql`alter database ${sql(template)} with is_template true allow_connections false`,
  );
}

/** For suites that are to hold with TimescaleDB too: DATABASE_URL names a server that has it. */
async function adoptTemplate(url: string): Promise<void> {
  await requireExtension(url);
  await withConnection(withRole(url, "rate_limiter_owner"), (sql) => adopt(sql, () => {}));
}

async function createLogins(sql: Sql, { prefix, password }: HarnessContext): Promise<void> {
  const verifier = scramVerifier(password);
  for (const role of loginRoles) {
    await sql.unsafe(
      `create role ${prefix}_${role} login password '${verifier}' in role rate_limiter_${role}`,
    );
  }
}

/** A server that was only lent gets back to how it was. */
async function close(server: ScratchServer, prefix: string): Promise<void> {
  try {
    await withConnection(server.url, async (sql) => {
      const databases = await sql`
        select datname from pg_database where starts_with(datname, ${prefix})
      `;
      for (const { datname } of databases) {
        await sql`alter database ${sql(datname)} with is_template false`;
        await sql`drop database ${sql(datname)} with (force)`;
      }
      const roles = await sql`select rolname from pg_roles where starts_with(rolname, ${prefix})`;
      for (const { rolname } of roles) await sql`drop role ${sql(rolname)}`;
    });
  } finally {
    await server.stop();
  }
}
