import { join } from "node:path";
import { logFor, logInto } from "../log.ts";
import { withConnection } from "../postgres/connect.ts";
import type { DataFolder } from "../postgres/data-folder.ts";
import { type EmbeddedServer, openEmbeddedServer } from "../postgres/embedded-server.ts";
import { ensureLogin } from "../postgres/logins.ts";
import { passwordFor } from "../postgres/pgpass.ts";
import { urlFrom, withDatabase, withLogin, withRole } from "../postgres/url.ts";
import { UserError } from "../user-error.ts";
import { localDatabaseName } from "./local-database.ts";
import { shellWord } from "./shell.ts";

const databaseName = localDatabaseName;

/** The connections that the parts of the product use, each with no more rights than it needs. */
export interface Databases {
  /** Migrates and seeds. */
  readonly admin: string;
  readonly api: string;
  readonly worker: string;
  /** How a person reaches the gateways' functions with psql. */
  readonly psql: string;
  /** Where the API keeps its key, beside the data; a database elsewhere has no such place. */
  readonly jwtSecretFile?: string;
  /** The folder of the data, where this process runs the server. */
  readonly data?: DataFolder;
  /** Makes the logins above, as soon as migrations have made their roles. */
  createLogins(): Promise<void>;
  stop(): Promise<void>;
}

/** The databases of DATABASE_URL and its companions, else those of the embedded server. */
export async function openDatabases(env: NodeJS.ProcessEnv): Promise<Databases> {
  const given = urlFrom(env, "DATABASE_URL");
  return given === undefined ? embeddedDatabases(env) : givenDatabases(given, env);
}

function givenDatabases(admin: string, env: NodeJS.ProcessEnv): Databases {
  return {
    admin,
    api: loginFrom(env, "API_DATABASE_URL", admin, "authenticator"),
    worker: loginFrom(env, "WORKER_DATABASE_URL", admin, "worker"),
    // The URL's own login may have no right but to become the owner.
    psql: `PGOPTIONS='-c role=rate_limiter_owner' psql "$DATABASE_URL"`,
    createLogins: async () => {
      // The worker's role needs nothing: the owner is a member of it.
      if (urlFrom(env, "API_DATABASE_URL") === undefined) await lendAuthenticator(admin);
    },
    stop: async () => {},
  };
}

/** For trying the product only: such a session can reset its role. */
function loginFrom(env: NodeJS.ProcessEnv, variable: string, admin: string, role: string): string {
  const url = urlFrom(env, variable);
  if (url !== undefined) return url;
  logFor("start").warn(`${variable} is not set: sessions of DATABASE_URL become the ${role}`);
  return withRole(admin, `rate_limiter_${role}`);
}

/** Lets the login become it, as far as it may do so itself. */
async function lendAuthenticator(admin: string): Promise<void> {
  await withConnection(admin, async (sql) => {
    const [login] = await sql<{ name: string; mayBecome: boolean }[]>`
      select
        quote_ident(current_user) as name,
        pg_has_role(
          current_user, 'rate_limiter_authenticator',
          -- From PostgreSQL 16 on a membership alone does not let the member become the role.
          case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end
        ) as "mayBecome"
    `;
    if (login === undefined || login.mayBecome) return;
    const statement = `grant rate_limiter_authenticator to ${login.name}`;
    await sql.unsafe(statement).catch((cause: unknown) => {
      throw new UserError(
        "api_login_missing",
        "the login of DATABASE_URL may not become rate_limiter_authenticator, as the API does",
        `Set API_DATABASE_URL to a login in that role, or let a database administrator run: ${statement};`,
        { cause },
      );
    });
  });
}

async function embeddedDatabases(env: NodeJS.ProcessEnv): Promise<Databases> {
  const server = await openEmbeddedServer(env, ({ serviceLog }) => logInto(serviceLog));
  const admin = withDatabase(server.url, databaseName);
  const passwords = server.data.passwords;
  const as = (login: string) => withLogin(admin, login, passwordFor(passwords, login));
  await createDatabase(server);
  return {
    admin,
    api: as("qos_api"),
    worker: as("qos_worker"),
    psql: `PGPASSFILE=${shellWord(passwords)} psql -h 127.0.0.1 -p ${server.port} -U qos_gateway ${databaseName}`,
    jwtSecretFile: join(server.data.folder, "jwt-secret"),
    data: server.data,
    createLogins: () => createLogins(server),
    stop: server.stop,
  };
}

async function createDatabase(server: EmbeddedServer): Promise<void> {
  await withConnection(server.url, async (sql) => {
    const known = await sql`select from pg_database where datname = ${databaseName}`;
    if (known.count === 0) await sql`create database ${sql(databaseName)}`;
  });
}

async function createLogins({ url, data }: EmbeddedServer): Promise<void> {
  const roles = { qos_api: "authenticator", qos_worker: "worker", qos_gateway: "app" };
  await withConnection(url, async (sql) => {
    for (const [login, role] of Object.entries(roles)) {
      await ensureLogin(sql, login, `rate_limiter_${role}`, passwordFor(data.passwords, login));
    }
  });
}
