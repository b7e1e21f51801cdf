import { describe, expect, test } from "vitest";
import type { TransactionSql } from "../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../harness/index.ts";
import { makeTwoTenants, type RoleName, roleNames } from "./world.ts";

const database = await createDatabase();
const { mine, theirs } = await makeTwoTenants(database);

function as<T>(role: RoleName, work: (sql: TransactionSql) => Promise<T>): Promise<T> {
  return database.withTransaction("rate_limiter_visitor", { user_id: mine.users[role] }, work);
}

/** As the owner, who sees what is stored and may ask as a gateway does. */
function asOwner<T>(work: (sql: TransactionSql) => Promise<T>): Promise<T> {
  const user_id = mine.users.system_admin;
  return database.withTransaction("rate_limiter_owner", { user_id }, work);
}

async function register(sql: TransactionSql, id: string | null, appId = mine.appId) {
  const [key] = await sql`
    select * from rate_limiter_admin.register_access_key(${appId}, ${id}, 'of the storage')
  `;
  return key as { api_key_id: string; prefix: string };
}

async function applicationOf(sql: TransactionSql, id: string): Promise<string> {
  const [row] = await sql`select rate_limiter.application_of_key(${id}) as id`;
  return row?.id;
}

const id = "AKIAIOSFODNN7EXAMPLE";

describe("register_access_key", () => {
  test("makes an id of the storage a key, by its hash alone", async () => {
    await asOwner(async (sql) => {
      const key = await register(sql, id);
      expect(key.prefix).toBe("AKIAIOSFOD");
      expect(await applicationOf(sql, id)).toBe(mine.appId);
      const [listed] = await sql`
        select name, created_by, is_registered from rate_limiter_admin.api_keys
        where api_key_id = ${key.api_key_id}
      `;
      expect(listed).toEqual({
        name: "of the storage",
        created_by: mine.users.system_admin,
        is_registered: true,
      });
      const [kept] = await sql`
        select
          (select count(*)::integer from rate_limiter_private.api_keys as k
            where k::text like ${`%${id}%`}) as in_table,
          (select count(*)::integer from rate_limiter_audit.audit_logs as l
            where l::text like ${`%${id}%`}) as in_audit,
          (select count(*)::integer from rate_limiter_audit.audit_logs as l
            where l.entity_id = ${key.api_key_id}) as audited
      `;
      expect(kept).toEqual({ in_table: 0, in_audit: 0, audited: 1 });
    });
  });

  test("is for system administrators alone: an id is not a secret, and may be another tenant's", async () => {
    for (const role of roleNames.filter((name) => name !== "system_admin")) {
      await as(role, (sql) => expectSqlState(register(sql, id), "QS403"));
    }
    await as("tenant_admin", (sql) =>
      expectSqlState(register(sql, id), "QS403", "only a system administrator may do this"),
    );
    await database.withTransaction("rate_limiter_visitor", {}, (sql) =>
      expectSqlState(register(sql, id), "QS401", "not signed in"),
    );
  });

  test("is executable by those who sign in", async () => {
    const { prefix } = await as("system_admin", (sql) => register(sql, id));
    expect(prefix).toBe("AKIAIOSFOD");
  });

  test.each(["minioadmin", "test:tester", "a/b,c+d=e@f", "~", "x".repeat(128)])(
    "takes %s",
    async (given) => {
      await asOwner(async (sql) => {
        const { prefix } = await register(sql, given);
        expect(prefix.length).toBeLessThanOrEqual(Math.max(given.length / 2, 1));
        expect(await applicationOf(sql, given)).toBe(mine.appId);
      });
    },
  );

  test.each([null, "", "x".repeat(129), "a b", "a\nb", "ä", "qos_abcdefgh"])(
    "refuses %j, and does not repeat it",
    async (given) => {
      await asOwner(async (sql) => {
        const refusal = await sql
          .savepoint((point) => register(point, given))
          .catch((error: unknown) => error);
        expect(refusal).toMatchObject({ code: "QS422", message: "access key id does not fit" });
        expect(refusal).not.toHaveProperty("detail");
      });
    },
  );

  test("refuses an end that has passed, and an application that is not there", async () => {
    await asOwner(async (sql) => {
      await expectSqlState(
        sql.savepoint(
          (point) => point`select rate_limiter_admin.register_access_key(
          ${mine.appId}, ${id}, null, now() - interval '1 s'
        )`,
        ),
        "QS422",
        "api key would already have expired",
      );
      await expectSqlState(
        register(sql, id, "00000000-0000-4000-8000-000000000000"),
        "QS404",
        "unknown application",
      );
    });
  });

  test("gives an id to one application, and does not tell whose it is", async () => {
    await asOwner(async (sql) => {
      await register(sql, id, theirs.appId);
      const refusal = await sql.savepoint((point) => register(point, id)).catch((error) => error);
      expect(refusal).toMatchObject({
        code: "QS409",
        message: "access key id is already registered",
      });
      expect(JSON.stringify(refusal)).not.toContain(theirs.appId);
      expect(JSON.stringify(refusal)).not.toContain(theirs.tenantId);
    });
  });

  test("gives an id that was revoked to another application", async () => {
    await asOwner(async (sql) => {
      const { api_key_id } = await register(sql, id, theirs.appId);
      await sql`select rate_limiter_admin.revoke_api_key(${api_key_id})`;
      await expectSqlState(
        sql.savepoint((point) => applicationOf(point, id)),
        "QS401",
        "api key is revoked",
      );
      await register(sql, id);
      expect(await applicationOf(sql, id)).toBe(mine.appId);
    });
  });

  test("does not lift a suspension", async () => {
    await asOwner(async (sql) => {
      const { api_key_id } = await register(sql, id);
      await sql`select rate_limiter_admin.suspend_api_key(${api_key_id}, 'r')`;
      await expectSqlState(
        sql.savepoint((point) => applicationOf(point, id)),
        "QS401",
        "api key is suspended",
      );
      await sql`select rate_limiter_admin.revoke_api_key(${api_key_id})`;
      await expectSqlState(register(sql, id), "QS409", "api key is suspended");
    });
  });

  test("ends with its date", async () => {
    await asOwner(async (sql) => {
      const { api_key_id } = await register(sql, id);
      await sql`
        update rate_limiter_private.api_keys set expires_at = created_at
        where api_key_id = ${api_key_id}
      `;
      await expectSqlState(
        sql.savepoint((point) => applicationOf(point, id)),
        "QS401",
        "api key has expired",
      );
    });
  });

  test("is rotated where it was issued", async () => {
    await asOwner(async (sql) => {
      const { api_key_id } = await register(sql, id);
      await expectSqlState(
        sql`select rate_limiter_admin.rotate_api_key(${api_key_id})`,
        "QS409",
        "access key is rotated at the storage",
      );
    });
  });

  test("of two at once, one has the id", async () => {
    const register = () =>
      database.sql`select rate_limiter_private.register_access_key(${mine.appId}, 'at-once')`;
    const tried = await Promise.allSettled([register(), register(), register(), register()]);
    expect(tried.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const outcome of tried) {
      if (outcome.status === "rejected") expect(outcome.reason.code).toBe("QS409");
    }
  });
});

describe("import_access_keys", () => {
  const entry = (access_key_id: unknown, app_id: unknown = mine.appId, more: object = {}) => ({
    ...{ access_key_id, app_id },
    ...more,
  });
  const importAll = async (sql: TransactionSql, entries: unknown) => {
    const [row] = await sql`
      select * from rate_limiter_private.import_access_keys(${sql.json(entries as never)})
    `;
    return row;
  };

  test("registers a batch, and leaves what the application has already as it is", async () => {
    await asOwner(async (sql) => {
      const batch = [
        entry("AKIA1", mine.appId, { name: "one", expires_at: "2100-01-01T00:00:00Z" }),
        entry("AKIA2", theirs.appId),
      ];
      expect(await importAll(sql, batch)).toEqual({ registered: 2, unchanged: 0 });
      expect(await importAll(sql, [...batch, entry("AKIA3")])).toEqual({
        registered: 1,
        unchanged: 2,
      });
      expect(await applicationOf(sql, "AKIA2")).toBe(theirs.appId);
      const [listed] = await sql`
        select name, expires_at from rate_limiter_admin.api_keys where name = 'one'
      `;
      expect(listed).toEqual({ name: "one", expires_at: "2100-01-01 00:00:00+00" });
    });
  });

  test("registers none of a batch with an entry that is refused, and says which and why", async () => {
    await asOwner(async (sql) => {
      await importAll(sql, [entry("AKIAtheirs", theirs.appId)]);
      const refusal = await sql
        .savepoint((point) =>
          importAll(point, [
            entry("AKIAgood"),
            entry("AKIAtheirs"),
            entry("a b"),
            entry("AKIA5", "no-uuid"),
            entry("AKIA6", "00000000-0000-4000-8000-000000000000"),
            entry("AKIA7", mine.appId, { expires_at: "2001-01-01T00:00:00Z" }),
            entry("AKIA8", mine.appId, { expires_at: "soon" }),
            entry("AKIA9", mine.appId, { name: "x".repeat(256) }),
            entry("AKIA10", null),
            "no object",
          ]),
        )
        .catch((error) => error);
      expect(refusal).toMatchObject({ code: "QS422", message: "access keys are refused" });
      expect(JSON.parse(refusal.detail)).toEqual({
        refused: 9,
        first: [
          { entry: 2, code: "QS409", message: "access key id is already registered" },
          { entry: 3, code: "QS422", message: "access key id does not fit" },
          { entry: 4, code: "QS422", message: "access key entry is malformed" },
          { entry: 5, code: "QS404", message: "unknown application" },
          { entry: 6, code: "QS422", message: "api key would already have expired" },
          { entry: 7, code: "QS422", message: "access key entry is malformed" },
          { entry: 8, code: "QS422", message: "access key entry is malformed" },
          { entry: 9, code: "QS404", message: "unknown application" },
          { entry: 10, code: "QS422", message: "access key id does not fit" },
        ],
      });
      await expectSqlState(applicationOf(sql, "AKIAgood"), "QS401", "unknown api key");
    });
  });

  test.each([
    [[]],
    [{}],
    ["x"],
    [Array.from({ length: 1001 }, (_, place) => entry(`AKIA${place}`))],
  ])("refuses what is not a batch", async (entries) => {
    await asOwner((sql) =>
      expectSqlState(importAll(sql, entries), "QS422", "batch is not of 1 to 1000 access keys"),
    );
  });

  test("is for system administrators alone", async () => {
    for (const role of roleNames.filter((name) => name !== "system_admin")) {
      await as(role, (sql) =>
        expectSqlState(
          sql`
            select rate_limiter_admin.import_access_keys(
              array[row(${mine.appId}, ${id}, null, null)::rate_limiter_admin.new_access_key]
            )
          `,
          "QS403",
        ),
      );
    }
  });
});
