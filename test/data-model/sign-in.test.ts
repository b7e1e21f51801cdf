import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Sql, TransactionSql } from "../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../harness/index.ts";
import { makeTwoTenants } from "./world.ts";

const database = await createDatabase();
const { mine, theirs } = await makeTwoTenants(database);
const { sql } = database;
/** As the API signs people in: before anybody is anybody. */
const api = database.as("rate_limiter_authenticator");

const password = "correct horse battery";
const user = mine.users.app_viewer;
const email = "app_viewer@mine.example";

beforeAll(async () => {
  await sql`
    update rate_limiter.system_settings set value = '4' where key = 'password_hash_cost'
  `;
  for (const id of [user, mine.users.tenant_admin, theirs.users.app_viewer]) {
    await sql`select rate_limiter_private.set_password(${id}, ${password})`;
  }
});

interface LoginAnswer {
  readonly outcome: string;
  readonly retry_after_ms: string;
  readonly user_id: string | null;
  readonly tenant_id: string | null;
  readonly session_id: string | null;
  readonly refresh_token: string | null;
}

async function login(
  address: string,
  secret: string,
  ip: string | null = null,
  tenant: string | null = null,
): Promise<LoginAnswer> {
  const [answer] = await api<LoginAnswer[]>`
    select *
    from rate_limiter_private.login(${address}, ${secret}, ${ip}, 'test agent', ${tenant})
  `;
  if (answer === undefined) throw new Error("no answer");
  return answer;
}

/** Moments of our own: no test waits. */
async function loginAt(at: string, secret: string, ip: string | null = null, address = email) {
  const [answer] = await sql<LoginAnswer[]>`
    select * from rate_limiter_private.login_at(${at}, ${address}, ${secret}, ${ip})
  `;
  if (answer === undefined) throw new Error("no answer");
  return answer;
}

async function signedIn(secret = password): Promise<LoginAnswer & { refresh_token: string }> {
  const answer = await login(email, secret);
  expect(answer.outcome).toBe("ok");
  return answer as LoginAnswer & { refresh_token: string };
}

async function refresh(token: string) {
  const [answer] = await api`select * from rate_limiter_private.refresh_session(${token})`;
  return answer as { outcome: string; new_refresh_token: string; session_id: string };
}

describe("a password", () => {
  test("is stored as bcrypt at the cost of the setting, salted", async () => {
    const rows = await sql<{ hash: string }[]>`
      select password_hash as hash from rate_limiter_private.user_secrets
    `;
    expect(new Set(rows.map((row) => row.hash)).size).toBe(3);
    for (const { hash } of rows) expect(hash).toMatch(/^\$2a\$04\$.{53}$/);
  });

  test("costs 12 where nothing else is set", async () => {
    const fresh = await createDatabase();
    const [row] = await fresh.sql`
      select rate_limiter_private.hash_password(${password}) as hash
    `;
    expect(row?.hash).toMatch(/^\$2a\$12\$/);
  });

  test.each([
    ["short", "password is too short"],
    ["x".repeat(73), "password is too long"],
    ["ä".repeat(37), "password is too long"],
  ])("'%s' is refused", async (secret, message) => {
    await expectSqlState(
      sql`select rate_limiter_private.set_password(${user}, ${secret})`,
      "QS422",
      message,
    );
  });

  test("is verified, and its neighbours are not", async () => {
    const verify = async (secret: string) => {
      const [row] = await sql`
        select rate_limiter_private.verify_password(${user}, ${secret}) as right
      `;
      return row?.right;
    };
    expect(await verify(password)).toBe(true);
    expect(await verify(`${password} `)).toBe(false);
    expect(await verify("")).toBe(false);
  });

  test("nor its hash is anywhere in the audit", async () => {
    await signedIn();
    await login(email, "not the right password");
    const [row] = await sql`
      select
        count(*) filter (where l::text like ${`%${password}%`})::integer as clear,
        count(*) filter (where l::text like '%not the right%')::integer as wrong,
        count(*) filter (where l::text like '%$2a$%')::integer as hashed,
        count(*)::integer as rows
      from rate_limiter_audit.audit_logs as l
    `;
    expect(row).toMatchObject({ clear: 0, wrong: 0, hashed: 0 });
    expect(row?.rows).toBeGreaterThan(10);
  });
});

describe("login", () => {
  test("answers the user, a session and a refresh token that is stored as a hash", async () => {
    const answer = await signedIn();
    expect(answer).toMatchObject({ user_id: user, tenant_id: mine.tenantId });
    const [session] = await sql`
      select user_id, user_agent, refresh_token_hash = sha256(${answer.refresh_token}::bytea) as hashed
      from rate_limiter_private.user_sessions where session_id = ${answer.session_id}
    `;
    expect(session).toEqual({ user_id: user, user_agent: "test agent", hashed: true });
    const [clear] = await sql`
      select count(*)::integer as count from rate_limiter_private.user_sessions as s
      where s::text like ${`%${answer.refresh_token}%`}
    `;
    expect(clear?.count).toBe(0);
  });

  test("knows the address in any case, and counts", async () => {
    const counts = async () =>
      (await sql`select login_count from rate_limiter.users where user_id = ${user}`)[0]
        ?.login_count;
    const before = await counts();
    expect((await login(email.toUpperCase(), password)).outcome).toBe("ok");
    expect(await counts()).toBe(before + 1);
  });

  test("says the same of a wrong password and of an unknown address", async () => {
    const wrong = await login(email, "wrong password");
    const unknown = await login("nobody@mine.example", "wrong password");
    expect(unknown).toEqual(wrong);
    expect(wrong).toMatchObject({ outcome: "invalid", user_id: null, session_id: null });
    await signedIn();
  });

  test("takes as long for an unknown address", async () => {
    const cost = (value: string) => sql`
      update rate_limiter.system_settings set value = ${value} where key = 'password_hash_cost'
    `;
    const duration = async (address: string) => {
      const started = performance.now();
      expect((await login(address, "wrong password")).outcome).toBe("invalid");
      return performance.now() - started;
    };
    await cost("10");
    await sql`select rate_limiter_private.set_password(${user}, ${password})`;
    const known = await duration(email);
    const unknown = await duration("nobody@mine.example");
    await cost("4");
    await sql`select rate_limiter_private.set_password(${user}, ${password})`;
    // Without the hash it would be a fiftieth.
    expect(unknown).toBeGreaterThan(known / 4);
  });

  test.each(["users", "tenants"])("refuses while one of %s is inactive", async (table) => {
    const set = (active: boolean) => sql`
      update rate_limiter.${sql(table)} set is_active = ${active} where tenant_id = ${mine.tenantId}
    `;
    await set(false);
    expect((await login(email, password)).outcome).toBe("invalid");
    await set(true);
    await signedIn();
  });

  test("asks for the tenant where one address and password fit two", async () => {
    await sql`
      update rate_limiter.users set email = ${email} where user_id = ${theirs.users.app_viewer}
    `;
    expect((await login(email, password)).outcome).toBe("ambiguous");
    expect(await login(email, password, null, "theirs")).toMatchObject({
      outcome: "ok",
      user_id: theirs.users.app_viewer,
    });
    await sql`
      select rate_limiter_private.set_password(${theirs.users.app_viewer}, 'another password')
    `;
    expect(await login(email, password)).toMatchObject({ outcome: "ok", user_id: user });
    await sql`
      update rate_limiter.users set email = 'app_viewer@theirs.example'
      where user_id = ${theirs.users.app_viewer}
    `;
  });

  test("writes success and failure into the audit, with address and client", async () => {
    await login(email, password, "192.0.2.7");
    await login(email, "wrong password", "192.0.2.7");
    const rows = await sql`
      select action, status, error_message, user_agent, tenant_id
      from rate_limiter_audit.audit_logs
      where user_id = ${user} and ip_address = '192.0.2.7' and action = 'login'
      order by created_at
    `;
    const both = { action: "login", user_agent: "test agent", tenant_id: mine.tenantId };
    expect([...rows]).toEqual([
      { ...both, status: "success", error_message: null },
      { ...both, status: "failure", error_message: "wrong password" },
    ]);
    await signedIn();
  });
});

describe("guessing", () => {
  const start = Date.parse("2030-01-01T00:00:00Z");
  const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();
  const reset = async () => {
    await sql`
      update rate_limiter_private.user_secrets
      set failed_attempts = 0, last_failed_at = null, locked_until = null
    `;
    await sql`delete from rate_limiter_private.login_addresses`;
  };

  test("at one account is slowed after five failures, twice as long each time", async () => {
    await reset();
    for (let failure = 1; failure <= 5; failure += 1) {
      expect((await loginAt(at(0), "wrong password")).outcome).toBe("invalid");
    }
    // Not even the right password is looked at.
    expect(await loginAt(at(0.4), password)).toMatchObject({
      outcome: "slowed",
      retry_after_ms: "600",
    });
    expect((await loginAt(at(1), "wrong password")).outcome).toBe("invalid");
    expect(await loginAt(at(1), password)).toMatchObject({
      outcome: "slowed",
      retry_after_ms: "2000",
    });
    expect((await loginAt(at(3), "wrong password")).outcome).toBe("invalid");
    expect((await loginAt(at(3), password)).retry_after_ms).toBe("4000");
  });

  describe("by way of another tenant's user of the address", () => {
    const namesake = theirs.users.app_viewer;
    const own = "password of the namesake";
    const setPassword = (secret: string) =>
      sql`select rate_limiter_private.set_password(${namesake}, ${secret})`;
    const failuresOf = async (id: string) =>
      (
        await sql`
          select failed_attempts as count from rate_limiter_private.user_secrets
          where user_id = ${id}
        `
      )[0]?.count;
    const auditOf = async (id: string, userAgent: string | null = null) => {
      const rows = await sql`
        select status, error_message as why, ip_address as ip, user_agent
        from rate_limiter_audit.audit_logs
        where user_id = ${id} and action = 'login'
          and user_agent is not distinct from ${userAgent}
        order by created_at desc limit 1
      `;
      return rows[0];
    };

    beforeEach(async () => {
      await reset();
      await sql`update rate_limiter.users set email = ${email} where user_id = ${namesake}`;
      await setPassword(own);
    });
    afterEach(async () => {
      await reset();
      await sql`
        update rate_limiter.users set email = 'app_viewer@theirs.example'
        where user_id = ${namesake}
      `;
    });

    test("is slowed as fast, and a hit looks like a miss then", async () => {
      for (let failure = 1; failure <= 5; failure += 1) {
        expect(await loginAt(at(0), own)).toMatchObject({ outcome: "ok", user_id: namesake });
      }
      expect(await failuresOf(user)).toBe(5);
      await setPassword(password);
      expect(await loginAt(at(0.9), password)).toMatchObject({ outcome: "ok", user_id: namesake });
      expect(await failuresOf(user)).toBe(5);
      expect((await loginAt(at(1), password)).outcome).toBe("ambiguous");
    });

    test("is in the audit of each account, and tells nobody from where another signs in", async () => {
      const loginFrom = (secret: string, agent: string) => api`
        select from rate_limiter_private.login(${email}, ${secret}, '192.0.2.9', ${agent})
      `;
      await loginFrom(own, "namesake's");
      expect(await auditOf(user)).toEqual({
        ...{ status: "failure", why: "wrong password", ip: null, user_agent: null },
      });
      await loginFrom(password, "user's");
      expect(await auditOf(namesake)).toEqual({
        ...{ status: "failure", why: "wrong password", ip: null, user_agent: null },
      });
      expect(await auditOf(namesake, "user's")).toBeUndefined();
      await setPassword(password);
      await loginFrom(password, "anybody's");
      for (const id of [user, namesake]) {
        expect(await auditOf(id, "anybody's")).toMatchObject({
          ...{ status: "failure", why: "tenant not named", ip: "192.0.2.9" },
        });
      }
    });

    test("does not count for the network of whoever signs in", async () => {
      await loginAt(at(0), password, "192.0.2.10");
      expect(await sql`select from rate_limiter_private.login_addresses`).toHaveLength(0);
      await loginAt(at(0), "wrong password", "192.0.2.10");
      expect(await sql`select from rate_limiter_private.login_addresses`).toHaveLength(1);
    });

    test("is none where the tenant is named", async () => {
      expect((await login(email, own, null, "theirs")).outcome).toBe("ok");
      expect(await failuresOf(user)).toBe(0);
    });
  });

  test("is forgotten after a success", async () => {
    await reset();
    for (let failure = 1; failure <= 4; failure += 1) await loginAt(at(0), "wrong password");
    expect((await loginAt(at(1), password)).outcome).toBe("ok");
    const [row] = await sql`
      select failed_attempts from rate_limiter_private.user_secrets where user_id = ${user}
    `;
    expect(row?.failed_attempts).toBe(0);
  });

  test("is forgotten after a quiet hour", async () => {
    await reset();
    for (let failure = 1; failure <= 5; failure += 1) await loginAt(at(0), "wrong password");
    expect((await loginAt(at(3601), "wrong password")).outcome).toBe("invalid");
    expect((await loginAt(at(3601), password)).outcome).toBe("ok");
  });

  test("waits no longer than the setting says", async () => {
    const [row] = await sql`
      select
        rate_limiter_internal.login_delay(4, 5, '900 s')::text as before,
        rate_limiter_internal.login_delay(5, 5, '900 s')::text as first,
        rate_limiter_internal.login_delay(2000000000, 5, '900 s')::text as last
    `;
    expect(row).toEqual({ before: "00:00:00", first: "00:00:01", last: "00:15:00" });
  });

  test("at many accounts is slowed by address, a /64 of IPv6 being one", async () => {
    await reset();
    const addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2"];
    for (let failure = 0; failure < 20; failure += 1) {
      const answer = await loginAt(
        at(0),
        "wrong password",
        addresses[failure % 2],
        `nobody${failure}@mine.example`,
      );
      expect(answer.outcome).toBe("invalid");
    }
    expect((await loginAt(at(0.5), password, "2001:db8:1:2:3::4")).outcome).toBe("slowed");
    expect((await loginAt(at(0.5), password, "2001:db8:1:3::1")).outcome).toBe("ok");
    expect((await loginAt(at(1), password, addresses[0])).outcome).toBe("ok");
  });

  test("never runs twice at a time at one account", async () => {
    await reset();
    const a = await database.session("a");
    await a.sql`begin`;
    await a.sql`
      select from rate_limiter_private.user_secrets where user_id = ${user} for update
    `;
    const answer = await login(email, password);
    expect(answer.outcome).toBe("slowed");
    expect(Number(answer.retry_after_ms)).toBeGreaterThan(0);
    await a.sql`rollback`;
    await signedIn();
  });
});

describe("a refresh token", () => {
  test("is good for one use, and the session goes on with the next", async () => {
    const first = await signedIn();
    const second = await refresh(first.refresh_token);
    expect(second.outcome).toBe("ok");
    expect(second.session_id).toBe(first.session_id);
    const third = await refresh(second.new_refresh_token);
    expect(third.outcome).toBe("ok");
  });

  test("used again ends the session, and says so in the audit", async () => {
    const first = await signedIn();
    const second = await refresh(first.refresh_token);
    expect((await refresh(first.refresh_token)).outcome).toBe("reused");
    expect((await refresh(second.new_refresh_token)).outcome).toBe("invalid");
    const [session] = await sql`
      select revoke_reason from rate_limiter_private.user_sessions
      where session_id = ${first.session_id}
    `;
    expect(session?.revoke_reason).toBe("refresh_token_reused");
    const [audit] = await sql`
      select status, error_message from rate_limiter_audit.audit_logs
      where action = 'refresh' order by created_at desc limit 1
    `;
    expect(audit).toEqual({ status: "failure", error_message: "refresh token reused" });
  });

  test("unknown, changes nothing", async () => {
    expect((await refresh("no such token")).outcome).toBe("invalid");
  });

  test("lapses unused, and never outlives the session", async () => {
    const { refresh_token, session_id } = await signedIn();
    const refreshAt = async (interval: string) => {
      const [answer] = await sql`
        select r.outcome, r.refresh_expires_at <= r.expires_at as within
        from rate_limiter_private.refresh_session_at(
          now() + ${interval}::interval, ${refresh_token}
        ) as r
      `;
      return answer;
    };
    expect((await refreshAt("15 days"))?.outcome).toBe("invalid");
    expect(await refreshAt("13 days")).toEqual({ outcome: "ok", within: true });
    await sql`
      update rate_limiter_private.user_sessions
      set refresh_expires_at = now(), expires_at = now() where session_id = ${session_id}
    `;
  });

  test("of a deactivated user is refused", async () => {
    const { refresh_token } = await signedIn();
    await sql`update rate_limiter.users set is_active = false where user_id = ${user}`;
    expect((await refresh(refresh_token)).outcome).toBe("invalid");
    await sql`update rate_limiter.users set is_active = true where user_id = ${user}`;
  });

  test("raced by two, ends in one session or none, never in two tokens that work", async () => {
    const { refresh_token } = await signedIn();
    const answers = await Promise.all([refresh(refresh_token), refresh(refresh_token)]);
    expect(answers.map((answer) => answer.outcome).sort()).toEqual(["ok", "reused"]);
    const winner = answers.find((answer) => answer.outcome === "ok");
    expect((await refresh(winner?.new_refresh_token ?? "")).outcome).toBe("invalid");
  });
});

describe("signed in", () => {
  const visitor = <T>(
    context: { user_id: string; session_id?: string },
    work: (sql: TransactionSql) => Promise<T>,
  ) => database.withTransaction("rate_limiter_visitor", context, work);

  test("one sees and ends one's own sessions", async () => {
    const { session_id } = await signedIn();
    const other = await signedIn();
    await visitor({ user_id: user, session_id: session_id as string }, async (tx) => {
      const before = await tx`
        select session_id from rate_limiter_admin.user_sessions where revoked_at is null
      `;
      expect(before.map((row) => row.session_id)).toContain(other.session_id);
      const [revoked] = await tx`
        select rate_limiter_admin.revoke_session(${other.session_id}) as done
      `;
      expect(revoked?.done).toBe(true);
      const [out] = await tx`select rate_limiter_admin.logout() as done`;
      expect(out?.done).toBe(true);
      const rows = await tx`select from rate_limiter.users`;
      expect(rows, "the session is over at once").toHaveLength(0);
    });
  });

  test("one does not end another user's session, an administrator of the tenant does", async () => {
    const { session_id } = await signedIn();
    const revokeAs = (id: string) =>
      visitor({ user_id: id }, async (tx) => {
        const [row] = await tx`select rate_limiter_admin.revoke_session(${session_id}) as done`;
        return row?.done;
      });
    expect(await revokeAs(mine.users.auditor)).toBe(false);
    expect(await revokeAs(theirs.users.tenant_admin)).toBe(false);
    expect(await revokeAs(mine.users.tenant_admin)).toBe(true);
  });

  test("logout everywhere ends all of one's sessions", async () => {
    await signedIn();
    await signedIn();
    await visitor({ user_id: user }, async (tx) => {
      const [row] = await tx`select rate_limiter_admin.logout_everywhere() as ended`;
      expect(row?.ended).toBeGreaterThanOrEqual(2);
      const [left] = await tx`
        select count(*)::integer as count from rate_limiter_admin.user_sessions
        where revoked_at is null
      `;
      expect(left?.count).toBe(0);
    });
  });

  test("one changes one's password with the old one, and other sessions end", async () => {
    const here = await signedIn();
    const elsewhere = await signedIn();
    await visitor({ user_id: user, session_id: here.session_id as string }, async (tx) => {
      const change = async (current: string, next: string) => {
        const [row] = await tx`
          select rate_limiter_admin.change_password(${current}, ${next}) as outcome
        `;
        return row?.outcome;
      };
      expect(await change("wrong password", "a new password")).toBe("invalid");
      expect(await change(password, "a new password")).toBe("ok");
      const open = await tx`
        select session_id from rate_limiter_admin.user_sessions where revoked_at is null
      `;
      const ids = open.map((row) => row.session_id);
      expect(ids).toContain(here.session_id);
      expect(ids).not.toContain(elsewhere.session_id);
    });
  });

  test("guessing one's own password is slowed too", async () => {
    await visitor({ user_id: user }, async (tx) => {
      for (let failure = 1; failure <= 5; failure += 1) {
        await tx`select rate_limiter_admin.change_password('wrong password', 'a new password')`;
      }
      const [row] = await tx`
        select rate_limiter_admin.change_password(${password}, 'a new password') as outcome
      `;
      expect(row?.outcome).toBe("slowed");
    });
  });

  test.each([
    ["tenant_admin", "app_viewer", null],
    ["tenant_admin", "system_admin", "QS403"],
    ["app_admin", "app_viewer", "QS403"],
  ] as const)("%s resets the password of %s: %s", async (actor, target, code) => {
    await visitor({ user_id: mine.users[actor] }, async (tx) => {
      const reset = tx`
        select rate_limiter_admin.reset_password(${mine.users[target]}, 'a new password')
      `;
      if (code === null) await reset;
      else await expectSqlState(reset, code);
    });
  });

  test("nobody resets a password of another tenant", async () => {
    await visitor({ user_id: mine.users.tenant_admin }, (tx) =>
      expectSqlState(
        tx`select rate_limiter_admin.reset_password(${theirs.users.auditor}, 'a new password')`,
        "QS404",
        "unknown user",
      ),
    );
  });
});

describe("the first administrator", () => {
  test("is made once by the operator, and may do everything", async () => {
    const fresh = await createDatabase();
    const has = async (db: Sql) =>
      (await db`select rate_limiter_private.has_administrator() as has`)[0]?.has;
    expect(await has(fresh.sql)).toBe(false);
    const make = () => fresh.as("rate_limiter_owner")`
      select rate_limiter_private.create_administrator(
        'operators', 'root', 'root@example.com', ${password}
      ) as id
    `;
    const [made] = await make();
    expect(await has(fresh.sql)).toBe(true);
    await expectSqlState(make(), "QS409", "user already exists");
    const [row] = await fresh.withTransaction(
      "rate_limiter_visitor",
      { user_id: made?.id },
      (tx) => tx`
        select bool_and(rate_limiter_internal.may(p.resource, p.action)) as all
        from rate_limiter.permissions as p
      `,
    );
    expect(row?.all).toBe(true);
  });
});
