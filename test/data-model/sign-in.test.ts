import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { hashPassword, verifyPassword } from "../../src/api/passwords/password-hash.ts";
import type { Sql, TransactionSql } from "../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../harness/index.ts";
import { makeTwoTenants } from "./world.ts";

const database = await createDatabase();
const { mine, theirs } = await makeTwoTenants(database);
const { sql } = database;
/** As the API signs people in: before anybody is anybody. */
const api = database.as("rate_limiter_authenticator");

const password = "correct horse battery";
const hash = await hashPassword(password, 10);
const user = mine.users.app_viewer;
const email = "app_viewer@mine.example";
const network = "192.0.2.1";

beforeAll(async () => {
  for (const id of [user, mine.users.tenant_admin, theirs.users.app_viewer]) {
    await sql`select rate_limiter_private.set_password(${id}, ${hash})`;
  }
});

interface LoginAnswer {
  readonly outcome: string;
  readonly retry_after_ms: string | null;
  readonly user_id: string | null;
  readonly session_id: string | null;
  readonly refresh_token: string | null;
}

interface Place {
  readonly at?: string;
  readonly ip?: string | null;
  readonly address?: string;
  readonly tenant?: string;
}

/** Signs in as the API does, at moments of our own: no test waits. */
async function login(secret: string, place: Place = {}): Promise<LoginAnswer> {
  const { at = new Date().toISOString(), ip = null, address = email, tenant = "mine" } = place;
  const [begun] = await sql`
    select * from rate_limiter_private.begin_login_at(${at}, ${tenant}, ${address}, ${ip})
  `;
  if (begun?.outcome !== "check") return begun as unknown as LoginAnswer;
  if (begun.user_id === null || secret !== password) {
    await api`select rate_limiter_private.fail_login(${begun.user_id}, 'wrong', ${ip}, 'agent')`;
    return { ...begun, outcome: "invalid" } as unknown as LoginAnswer;
  }
  const [done] = await api`
    select * from rate_limiter_private.complete_login_at(
      ${at}, ${begun.user_id}, ${begun.password_hash}, null, ${ip}, 'test agent'
    )
  `;
  return { ...begun, ...done } as unknown as LoginAnswer;
}

async function signedIn(secret = password): Promise<LoginAnswer & { refresh_token: string }> {
  const answer = await login(secret);
  expect(answer.outcome).toBe("ok");
  return answer as LoginAnswer & { refresh_token: string };
}

async function refresh(token: string) {
  const [answer] = await api`select * from rate_limiter_private.refresh_session(${token})`;
  return answer as { outcome: string; new_refresh_token: string; session_id: string };
}

describe("a password", () => {
  test("is stored as scrypt at the cost of the setting, salted", async () => {
    const other = await hashPassword(password, 10);
    expect(other).toMatch(/^\$scrypt\$ln=10,r=8,p=3\$/);
    expect(other).not.toBe(hash);
  });

  test("is verified, and its neighbours are not", async () => {
    expect(await verifyPassword(password, hash, 10)).toBe(true);
    for (const wrong of [`${password} `, "", password.toUpperCase()]) {
      expect(await verifyPassword(wrong, hash, 10)).toBe(false);
    }
    expect(await verifyPassword(password, null, 10), "of no account").toBe(false);
  });

  test("is right however its characters are composed", async () => {
    const composed = await hashPassword("caf\u00e9 au lait 44", 10);
    expect(await verifyPassword("cafe\u0301 au lait 44", composed, 10)).toBe(true);
  });
});

describe("login", () => {
  test("answers the user, a session and a refresh token that is stored as a hash", async () => {
    const answer = await signedIn();
    expect(answer).toMatchObject({ user_id: user });
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
    expect((await login(password, { address: email.toUpperCase() })).outcome).toBe("ok");
    expect(await counts()).toBe(before + 1);
  });

  test.each(["users", "tenants"])("refuses while one of %s is inactive", async (table) => {
    const set = (active: boolean) => sql`
      update rate_limiter.${sql(table)} set is_active = ${active} where tenant_id = ${mine.tenantId}
    `;
    await set(false);
    expect((await login(password)).outcome).toBe("invalid");
    await set(true);
    await signedIn();
  });

  test("is refused where the password changed while the old one was checked", async () => {
    const [done] = await api`
      select outcome from rate_limiter_private.complete_login_at(
        now(), ${user}, ${await hashPassword("an older password", 10)}, null, null, null
      )
    `;
    expect(done).toEqual({ outcome: "invalid" });
  });

  test("writes success and failure into the audit, with address and client", async () => {
    await login(password, { ip: "192.0.2.7" });
    await login("wrong password", { ip: "192.0.2.7" });
    const rows = await sql`
      select action, status, tenant_id
      from rate_limiter_audit.audit_logs
      where user_id = ${user} and ip_address = '192.0.2.7' and action = 'login'
      order by created_at
    `;
    const both = { action: "login", tenant_id: mine.tenantId };
    expect([...rows]).toEqual([
      { ...both, status: "success" },
      { ...both, status: "failure" },
    ]);
  });
});

describe("guessing", () => {
  const start = Date.parse("2030-01-01T00:00:00Z");
  const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();
  const wrong = "wrong password";

  beforeEach(async () => {
    await sql`delete from rate_limiter_private.login_failures`;
  });

  test("at one account is slowed after five failures, twice as long each time", async () => {
    const ip = "192.0.2.30";
    for (let failure = 1; failure <= 5; failure += 1) {
      expect((await login(wrong, { at: at(0), ip })).outcome).toBe("invalid");
    }
    // Not even the right password is looked at.
    expect(await login(password, { at: at(0.4), ip })).toMatchObject({
      outcome: "slowed",
      retry_after_ms: "600",
    });
    expect((await login(wrong, { at: at(1), ip })).outcome).toBe("invalid");
    expect((await login(password, { at: at(1), ip })).retry_after_ms).toBe("2000");
    expect((await login(wrong, { at: at(3), ip })).outcome).toBe("invalid");
    expect((await login(password, { at: at(3), ip })).retry_after_ms).toBe("4000");
  });

  test("is forgotten after a success from there", async () => {
    for (let failure = 1; failure <= 4; failure += 1)
      await login(wrong, { at: at(0), ip: network });
    expect((await login(password, { at: at(1), ip: network })).outcome).toBe("ok");
    const rows = await sql`
      select from rate_limiter_private.login_failures where account <> '' and network = ${network}
    `;
    expect(rows.count).toBe(0);
  });

  test("is forgotten after a quiet hour", async () => {
    for (let failure = 1; failure <= 5; failure += 1) await login(wrong, { at: at(0) });
    expect((await login(wrong, { at: at(3601) })).outcome).toBe("invalid");
    expect((await login(password, { at: at(3601) })).outcome).toBe("ok");
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
    const addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2"];
    for (let failure = 0; failure < 20; failure += 1) {
      const answer = await login(wrong, {
        ...{ at: at(0), ip: addresses[failure % 2] as string },
        address: `nobody${failure}@mine.example`,
      });
      expect(answer.outcome).toBe("invalid");
    }
    const outcome = async (seconds: number, ip: string) =>
      (await login(password, { at: at(seconds), ip })).outcome;
    expect(await outcome(0.5, "2001:db8:1:2:3::4")).toBe("slowed");
    expect(await outcome(0.5, "2001:db8:1:3::1")).toBe("ok");
    expect(await outcome(1, "2001:db8:1:2::1")).toBe("ok");
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
  const authenticator = <T>(
    context: { user_id: string; session_id?: string },
    work: (sql: TransactionSql) => Promise<T>,
  ) => database.withTransaction("rate_limiter_authenticator", context, work);

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

  test("one's password is changed by the API alone, which has checked the old one", async () => {
    const here = await signedIn();
    const elsewhere = await signedIn();
    await visitor({ user_id: user }, (tx) =>
      expectSqlState(
        tx`select rate_limiter_private.change_password(now(), ${hash}, ${hash})`,
        "42501",
      ),
    );
    await authenticator({ user_id: user, session_id: here.session_id as string }, async (tx) => {
      const [begun] = await tx`select * from rate_limiter_private.begin_password_check()`;
      expect(begun).toMatchObject({ outcome: "check", user_id: user, password_hash: hash });
      await tx`
          select rate_limiter_private.change_password(${begun?.counted_at}, ${hash}, ${hash})
        `;
      const ask = (id: string | null) => tx`
          select rate_limiter_private.session_is_active(${user}, ${id}) as lasts
        `;
      expect((await ask(here.session_id))[0]?.lasts).toBe(true);
      expect((await ask(elsewhere.session_id))[0]?.lasts).toBe(false);
    });
  });

  test("guessing one's own password is slowed too", async () => {
    await authenticator({ user_id: user }, async (tx) => {
      const check = async () =>
        (await tx`select outcome from rate_limiter_private.begin_password_check()`)[0]?.outcome;
      for (let failure = 1; failure <= 5; failure += 1) expect(await check()).toBe("check");
      expect(await check()).toBe("slowed");
    });
  });

  test.each([
    ["tenant_admin", "app_viewer", null],
    ["tenant_admin", "system_admin", "QS403"],
    ["app_admin", "app_viewer", "QS403"],
  ] as const)("%s resets the password of %s: %s", async (actor, target, code) => {
    await authenticator({ user_id: mine.users[actor] }, async (tx) => {
      const reset = tx`
        select rate_limiter_private.reset_password(${mine.users[target]}, ${hash})
      `;
      if (code === null) await reset;
      else await expectSqlState(reset, code);
    });
  });

  test("an administrator cannot reset a password of another tenant", async () => {
    await authenticator({ user_id: mine.users.tenant_admin }, (tx) =>
      expectSqlState(
        tx`select rate_limiter_private.reset_password(${theirs.users.auditor}, ${hash})`,
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
        'operators', 'root', 'root@example.com', ${hash}
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
