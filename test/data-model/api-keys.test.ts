import { describe, expect, test } from "vitest";
import type { TransactionSql } from "../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../harness/index.ts";
import { makeTwoTenants, type RoleName } from "./world.ts";

const database = await createDatabase();
const { mine, theirs } = await makeTwoTenants(database);

function as<T>(role: RoleName, work: (sql: TransactionSql) => Promise<T>): Promise<T> {
  return database.withTransaction("rate_limiter_visitor", { user_id: mine.users[role] }, work);
}

async function newKey(sql: TransactionSql) {
  const [key] = await sql`
    select * from rate_limiter_admin.create_api_key(${mine.appId}, 'for tests')
  `;
  return key as { api_key_id: string; api_key: string; prefix: string };
}

const ownKeyOf = async (sql: TransactionSql) =>
  (await sql`select api_key_id from rate_limiter_admin.api_keys limit 1`)[0]?.api_key_id;

describe("create_api_key", () => {
  test("shows the key once, and lists it by its first characters", async () => {
    await as("app_admin", async (sql) => {
      const key = await newKey(sql);
      expect(key.api_key).toMatch(/^qos_[A-Za-z0-9_-]{43}$/);
      expect(key.prefix).toBe(key.api_key.slice(0, 12));
      const [listed] = await sql`
        select prefix, name, created_by from rate_limiter_admin.api_keys
        where api_key_id = ${key.api_key_id}
      `;
      expect(listed).toEqual({
        prefix: key.prefix,
        name: "for tests",
        created_by: mine.users.app_admin,
      });
    });
  });

  test("stores its SHA-256, and the key nowhere: neither in a table nor in the audit", async () => {
    const [key] = await database.sql`
      select * from rate_limiter_private.issue_api_key(${theirs.appId}, 'kept')
    `;
    const [row] = await database.sql`
      select
        (select key_hash = sha256(${key?.api_key}::bytea) from rate_limiter_private.api_keys
          where api_key_id = ${key?.api_key_id}) as hashed,
        (select count(*)::integer from rate_limiter_private.api_keys as k
          where k::text like ${`%${key?.api_key}%`}) as in_table,
        (select count(*)::integer from rate_limiter_audit.audit_logs as l
          where l::text like ${`%${key?.api_key}%`} or l::text like '%key_hash%') as in_audit,
        (select count(*)::integer from rate_limiter_audit.audit_logs as l
          where l.entity_id = ${key?.api_key_id}) as audited
    `;
    expect(row).toEqual({ hashed: true, in_table: 0, in_audit: 0, audited: 1 });
  });

  test("draws keys that do not repeat", async () => {
    const [row] = await database.sql`
      select count(distinct rate_limiter_internal.random_token())::integer as count
      from generate_series(1, 1000)
    `;
    expect(row?.count).toBe(1000);
  });

  test("refuses an end that has passed", async () => {
    await as("app_admin", (sql) =>
      expectSqlState(
        sql`select rate_limiter_admin.create_api_key(${mine.appId}, null, now() - interval '1 s')`,
        "QS422",
        "api key would already have expired",
      ),
    );
  });

  test("is for who may change applications, and for their own", async () => {
    await as("app_viewer", (sql) => expectSqlState(newKey(sql), "QS403", "permission denied"));
    await as("app_admin", (sql) =>
      expectSqlState(
        sql`select rate_limiter_admin.create_api_key(${theirs.appId})`,
        "QS404",
        "unknown application",
      ),
    );
    await database.withTransaction("rate_limiter_visitor", {}, (sql) =>
      expectSqlState(newKey(sql), "QS401", "not signed in"),
    );
  });
});

describe("rotate_api_key", () => {
  test("gives a new key and lets the old one work for the overlap", async () => {
    await as("app_admin", async (sql) => {
      const old = await newKey(sql);
      const [rotated] = await sql`
        select
          r.new_api_key_id, r.api_key,
          r.old_key_expires_at between now() + interval '23 hours' and now() + interval '25 hours'
            as in_a_day
        from rate_limiter_admin.rotate_api_key(${old.api_key_id}) as r
      `;
      expect(rotated?.in_a_day).toBe(true);
      expect(rotated?.api_key).not.toBe(old.api_key);
      const [next] = await sql`
        select name, expires_at from rate_limiter_admin.api_keys
        where api_key_id = ${rotated?.new_api_key_id}
      `;
      expect(next).toEqual({ name: "for tests", expires_at: null });
    });
  });

  test("takes another overlap, down to none", async () => {
    await as("app_admin", async (sql) => {
      const { api_key_id } = await newKey(sql);
      const [hour] = await sql`
        select r.old_key_expires_at < now() + interval '61 minutes' as soon
        from rate_limiter_admin.rotate_api_key(${api_key_id}, '1 hour') as r
      `;
      expect(hour?.soon).toBe(true);
      await sql`select rate_limiter_admin.rotate_api_key(${api_key_id}, '0')`;
      await expectSqlState(
        sql`select rate_limiter_admin.rotate_api_key(${api_key_id}, '1 hour')`,
        "QS410",
        "api key no longer works",
      );
    });
  });

  test("never lengthens the life of the old key", async () => {
    await as("app_admin", async (sql) => {
      const [key] = await sql`
        select * from rate_limiter_admin.create_api_key(
          ${mine.appId}, null, now() + interval '1 minute'
        )
      `;
      const [row] = await sql`
        select r.old_key_expires_at = now() + interval '1 minute' as kept
        from rate_limiter_admin.rotate_api_key(${key?.api_key_id}) as r
      `;
      expect(row?.kept).toBe(true);
    });
  });

  test("refuses a negative overlap", async () => {
    await as("app_admin", async (sql) => {
      const { api_key_id } = await newKey(sql);
      await expectSqlState(
        sql`select rate_limiter_admin.rotate_api_key(${api_key_id}, '-1 s')`,
        "QS422",
        "overlap is negative",
      );
    });
  });
});

describe("revoke_api_key", () => {
  test("takes the key back once and for all, and says who did", async () => {
    await as("app_admin", async (sql) => {
      const { api_key_id } = await newKey(sql);
      await sql`select rate_limiter_admin.revoke_api_key(${api_key_id})`;
      const [row] = await sql`
        select revoked_at is not null as revoked, revoked_by from rate_limiter_admin.api_keys
        where api_key_id = ${api_key_id}
      `;
      expect(row).toEqual({ revoked: true, revoked_by: mine.users.app_admin });
      await expectSqlState(
        sql`select rate_limiter_admin.revoke_api_key(${api_key_id})`,
        "QS410",
        "api key no longer works",
      );
    });
  });

  test("does not know another tenant's key", async () => {
    const foreign = await database.sql`
      select api_key_id from rate_limiter_private.api_keys where app_id = ${theirs.appId}
    `;
    await as("tenant_admin", (sql) =>
      expectSqlState(
        sql`select rate_limiter_admin.revoke_api_key(${foreign[0]?.api_key_id})`,
        "QS404",
        "unknown api key",
      ),
    );
    await as("system_admin", async (sql) => {
      await sql`select rate_limiter_admin.revoke_api_key(${foreign[0]?.api_key_id})`;
    });
  });

  test("is not for who only reads", async () => {
    await as("auditor", async (sql) => {
      const id = await ownKeyOf(sql);
      await expectSqlState(sql`select rate_limiter_admin.revoke_api_key(${id})`, "QS403");
    });
  });
});

describe("create_application", () => {
  test("makes the application and its first key", async () => {
    await as("app_admin", async (sql) => {
      const [made] = await sql`
        select * from rate_limiter_admin.create_application('new', ${mine.clusterId}, '{"a": 1}')
      `;
      const [app] = await sql`
        select tenant_id, cluster_id, metadata from rate_limiter.applications
        where app_id = ${made?.app_id}
      `;
      expect(app).toEqual({
        tenant_id: mine.tenantId,
        cluster_id: mine.clusterId,
        metadata: { a: 1 },
      });
      const keys = await sql`
        select prefix from rate_limiter_admin.api_keys where app_id = ${made?.app_id}
      `;
      expect(keys.map((key) => key.prefix)).toEqual([made?.prefix]);
    });
  });

  test.each<[string, (sql: TransactionSql) => PromiseLike<unknown>, string, string]>([
    [
      "a name that is taken",
      (sql) => sql`
        select rate_limiter_admin.create_application('application of mine', ${mine.clusterId})
      `,
      "QS409",
      "application already exists",
    ],
    [
      "a cluster that hosts nothing of the tenant",
      (sql) => sql`select rate_limiter_admin.create_application('new', ${theirs.clusterId})`,
      "QS404",
      "unknown cluster",
    ],
    [
      "another tenant",
      (sql) => sql`
        select rate_limiter_admin.create_application('new', null, '{}', ${theirs.tenantId})
      `,
      "QS403",
      "only a system administrator may do this",
    ],
  ])("refuses %s", async (_name, statement, code, message) => {
    await as("tenant_admin", (sql) => expectSqlState(statement(sql), code, message));
  });

  test("takes no application for an inactive cluster", async () => {
    await database.withTransaction("rate_limiter_owner", {}, async (sql) => {
      await sql`update rate_limiter.clusters set is_active = false`;
      await sql`select set_config('rate_limiter.user_id', ${mine.users.system_admin}, true)`;
      await expectSqlState(
        sql`select rate_limiter_admin.create_application('new', ${mine.clusterId})`,
        "QS404",
        "unknown cluster",
      );
    });
  });

  test("lets a system administrator put one anywhere, and move it", async () => {
    await as("system_admin", async (sql) => {
      const [made] = await sql`
        select * from rate_limiter_admin.create_application(
          'new', ${mine.clusterId}, '{}', ${theirs.tenantId}
        )
      `;
      await sql`
        select rate_limiter_admin.move_application(${made?.app_id}, ${theirs.clusterId})
      `;
      const [app] = await sql`
        select tenant_id, cluster_id from rate_limiter.applications
        where app_id = ${made?.app_id}
      `;
      expect(app).toEqual({ tenant_id: theirs.tenantId, cluster_id: theirs.clusterId });
    });
    await as("tenant_admin", (sql) =>
      expectSqlState(sql`select rate_limiter_admin.move_application(${mine.appId}, null)`, "QS403"),
    );
  });
});
