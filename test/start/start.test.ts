import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { withConnection } from "../../src/postgres/connect.ts";
import { withLogin } from "../../src/postgres/url.ts";
import type { Service } from "../../src/service.ts";
import type { Parts } from "../../src/start/parts.ts";
import { start } from "../../src/start/start.ts";
import { createDatabase } from "../harness/index.ts";

const home = mkdtempSync(join(tmpdir(), "storage-qos-start-"));
chmodSync(home, 0o755);
afterAll(() => rmSync(home, { recursive: true }));
const env = { QOS_DATA_FOLDER: join(home, "data"), API_PORT: "0" };

/** Parts that note what happens to them: what is tested is the order of things around them. */
const events: string[] = [];
beforeEach(() => events.splice(0));

async function whoAmI(databaseUrl: string): Promise<string> {
  const [row] = await withConnection(
    databaseUrl,
    (sql) => sql`
      select string_agg(role.rolname, ' ') as roles
      from pg_roles as role
      where starts_with(role.rolname, 'rate_limiter_')
        and pg_has_role(current_user, role.oid, 'usage')
    `,
  );
  return row?.roles;
}

function noting(name: string): Service {
  events.push(`${name} started`);
  return {
    name,
    url: `http://${name}`,
    stop: async () => {
      events.push(`${name} stopped`);
    },
  };
}

const roles: Record<string, string> = {};
const noted: Parts = {
  startApi: async ({ databaseUrl }) => {
    roles.api = await whoAmI(databaseUrl);
    return noting("api");
  },
  startWorker: async ({ databaseUrl }) => {
    roles.worker = await whoAmI(databaseUrl);
    return noting("worker");
  },
};

describe("npm start", () => {
  test("starts the parts with logins of their own, and stops them in reverse", async () => {
    const product = await start(env, noted);
    expect(roles).toEqual({ api: "rate_limiter_authenticator", worker: "rate_limiter_worker" });
    await product.stop();
    expect(events).toEqual(["api started", "worker started", "worker stopped", "api stopped"]);
  });

  test("shows the password at the first start and never again, and whose key it is each time", async () => {
    const fresh = { ...env, QOS_DATA_FOLDER: join(home, "fresh") };
    const first = await start(fresh, noted);
    await first.stop();
    const second = await start(fresh, noted);
    await second.stop();
    const [key = "none"] = /\bqos_[\w-]{43}\b/.exec(first.greeting) ?? [];
    for (const { greeting } of [first, second]) {
      expect(greeting).toMatch(
        new RegExp(`${key}\n +of photos, an application of the tenant demo`),
      );
    }
    expect(first.greeting).toMatch(
      /Sign in to the tenant +operators\n +Sign in as +\S+@\S+\n +Password \(shown once\) +\S{20,}\n/,
    );
    expect(second.greeting).not.toContain("Password");
    expect(second.greeting).toContain("http://api");
  });

  test("shows them at the first start that succeeds", async () => {
    const late = { ...env, QOS_DATA_FOLDER: join(home, "late") };
    const failing: Parts = { ...noted, startWorker: () => Promise.reject(new Error("no worker")) };
    await expect(start(late, failing)).rejects.toThrow("no worker");
    const product = await start(late, noted);
    await product.stop();
    expect(product.greeting).toContain("Password (shown once)");
    expect(product.greeting).toMatch(/API key +qos_/);
  });

  test("greets with a decision that runs as it stands", async () => {
    const database = await createDatabase();
    const product = await start({ DATABASE_URL: database.url, API_PORT: "0" }, noted);
    await product.stop();
    const [call = ""] = /select \* from rate_limiter\.consume_with_key\(.*\)/.exec(
      product.greeting,
    ) ?? [""];
    const rows = await database.as("rate_limiter_app").unsafe(call);
    expect(rows).toMatchObject([{ allowed: true, reason: null }]);
    expect(product.greeting).toContain("npx storage-qos replay --help");
  });

  test("stops what had started when a part fails", async () => {
    const failing: Parts = {
      ...noted,
      startWorker: async () => {
        throw new Error("no worker");
      },
    };
    await expect(start(env, failing)).rejects.toThrow("no worker");
    expect(events).toEqual(["api started", "api stopped"]);
  });

  test("uses the server of DATABASE_URL and the logins that are named", async () => {
    const database = await createDatabase();
    const product = await start(
      {
        DATABASE_URL: database.url,
        API_DATABASE_URL: database.urlAs("rate_limiter_authenticator"),
        WORKER_DATABASE_URL: database.urlAs("rate_limiter_worker"),
        API_PORT: "0",
      },
      noted,
    );
    expect(roles).toEqual({ api: "rate_limiter_authenticator", worker: "rate_limiter_worker" });
    expect(product.greeting).toContain('psql "$DATABASE_URL"');
    await product.stop();
    expect(await database.sql`select 1 as alive`).toEqual([{ alive: 1 }]);
  });

  test("takes sessions of DATABASE_URL for API and worker when none are named", async () => {
    const database = await createDatabase();
    const product = await start({ DATABASE_URL: database.url, API_PORT: "0" }, noted);
    await product.stop();
    expect(roles).toEqual({ api: "rate_limiter_authenticator", worker: "rate_limiter_worker" });
  });

  test("says what a login lacks that may not become the API's role", async () => {
    const database = await createDatabase();
    const login = `${database.name}_login`;
    const env = { DATABASE_URL: withLogin(database.url, login, "secret"), API_PORT: "0" };
    await database.sql.unsafe(`create role ${login} login password 'secret'`);
    onTestFinished(async () => {
      const leaving = `drop owned by ${login}; drop role ${login}`;
      await withConnection(database.url, (sql) => sql.unsafe(leaving));
    });
    await database.sql.unsafe(`grant rate_limiter_migrator to ${login}`);
    await database.sql.unsafe(`grant create on database ${database.name} to rate_limiter_owner`);
    const statement = `grant rate_limiter_authenticator to ${login}`;
    await expect(start(env, noted)).rejects.toMatchObject({
      code: "api_login_missing",
      hint: expect.stringContaining(`run: ${statement};`),
    });

    // A login that made the roles may not become them from PostgreSQL 16 on, and may let itself.
    await database.sql.unsafe(`${statement} with admin true, inherit false, set false`);
    const product = await start(env, noted);
    await product.stop();
    expect(roles).toEqual({ api: "rate_limiter_authenticator", worker: "rate_limiter_worker" });
    expect(product.greeting).toContain(`PGOPTIONS='-c role=rate_limiter_owner' psql`);
  });

  test("greets with a path that a shell reads as one", async () => {
    const folder = join(home, "it's mine #1");
    const product = await start({ ...env, QOS_DATA_FOLDER: folder }, noted);
    await product.stop();
    const [, assignment = ""] = /(PGPASSFILE=.*) psql /.exec(product.greeting) ?? [];
    const read = execFileSync("sh", ["-c", `${assignment}; printf %s "$PGPASSFILE"`], {
      encoding: "utf8",
    });
    expect(read).toBe(join(folder, "pgpass"));
  });

  test.each(["DATABASE_URL", "API_DATABASE_URL", "WORKER_DATABASE_URL"])(
    "refuses a %s that is not a connection URL",
    async (variable) => {
      const urls = {
        DATABASE_URL: "postgres://127.0.0.1/none",
        [variable]: "mysql://u:secret@h/d",
      };
      await expect(start({ ...urls, API_PORT: "0" }, noted)).rejects.toMatchObject({
        code: "database_url_invalid",
        message: `${variable} is not a connection URL`,
      });
    },
  );

  test("says that a port is in use before anything is made", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      taken.close();
    });
    const port = String((taken.address() as AddressInfo).port);
    const folder = join(home, "never made");
    for (const ports of [{ API_PORT: port }, { API_PORT: "0", WORKER_PORT: port }]) {
      await expect(start({ QOS_DATA_FOLDER: folder, ...ports }, noted)).rejects.toMatchObject({
        code: "port_in_use",
        hint: expect.stringContaining("npx storage-qos status"),
      });
    }
    expect(existsSync(folder)).toBe(false);
  });

  test.each(["-1", "65536", "http"])("refuses an API port that is none: %s", async (port) => {
    await expect(start({ ...env, API_PORT: port }, noted)).rejects.toMatchObject({
      code: "setting_invalid",
    });
  });
});
