import { TOTP } from "otpauth";
import { beforeEach, describe, expect, test } from "vitest";
import type { Answer } from "../api.ts";
import { password } from "../api.ts";
import { dataOf, refusalOf, serveTwoTenants } from "../world.ts";

const { database, api, as, mine, theirs } = await serveTwoTenants({ API_TRUSTED_PROXIES: "1" });
const { sql } = database;
const email = "app_viewer@mine.example";
const login = `mutation ($input: LoginInput!) { login(input: $input) { accessToken } }`;

interface Attempt {
  readonly email?: string;
  readonly password?: string;
  readonly tenant?: string;
  readonly code?: string;
}

/** A sign-in from an address of its own. */
async function signInFrom(address: string, attempt: Attempt = {}): Promise<Answer> {
  const input = { tenant: "mine", email, password, ...attempt };
  const response = await api.nobody.fetch("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json", "x-forwarded-for": address },
    body: JSON.stringify({ query: login, variables: { input } }),
  });
  return { status: response.status, ...((await response.json()) as object) };
}

const codeOf = ({ errors }: Answer) => errors?.[0]?.extensions.code ?? "signed in";
const messageOf = ({ errors }: Answer) => errors?.[0]?.message ?? "signed in";

async function failTimes(count: number, address: string, attempt: Attempt = {}) {
  for (let failure = 1; failure <= count; failure += 1) {
    await signInFrom(address, { password: `wrong ${failure}`, ...attempt });
  }
}

/** However long the machine takes: what waits now still waits then. */
const keepWaiting = () => sql`
  update rate_limiter_private.login_failures set locked_until = locked_until + interval '1 hour'
  where locked_until > last_failed_at
`;

beforeEach(() => sql`delete from rate_limiter_private.login_failures`);

describe("a stranger", () => {
  test("learns nothing of an address by two sign-ins at once, or by being slowed", async () => {
    const of = async (attempt: Attempt) => {
      await sql`delete from rate_limiter_private.login_failures`;
      const wrong = { ...attempt, password: "wrong" };
      const pair = await Promise.all([
        signInFrom("192.0.2.1", wrong),
        signInFrom("192.0.2.1", wrong),
      ]);
      await failTimes(3, "192.0.2.1", attempt);
      await keepWaiting();
      return [...pair.map(messageOf), messageOf(await signInFrom("192.0.2.1", wrong))];
    };
    const known = await of({});
    expect(known).toEqual([
      "email or password is wrong",
      "email or password is wrong",
      "too many failed sign-ins",
    ]);
    expect(await of({ email: "not.there@mine.example" })).toEqual(known);
    expect(await of({ tenant: "not there" })).toEqual(known);
  });

  test("does as much work for the server with an address of many tenants as of none", async () => {
    const [row] = await sql`
      select count(*)::integer as count
      from rate_limiter_private.begin_login('mine', 'app_viewer@theirs.example', null)
      where user_id is not null
    `;
    expect(row?.count).toBe(0);
  });

  test("keeps the owner of an account from no place where the owner signed in before", async () => {
    expect(codeOf(await signInFrom("192.0.2.7"))).toBe("signed in");
    for (const place of [1, 2, 3]) await failTimes(5, `198.51.100.${place}`);
    await keepWaiting();
    expect(codeOf(await signInFrom("198.51.100.9")), "a place not known").toBe("QS429");
    expect(codeOf(await signInFrom("192.0.2.7")), "where the owner was last").toBe("signed in");
  });

  test("does not keep out a namesake of another tenant, who is another account", async () => {
    await sql`
      update rate_limiter.users set email = ${email} where user_id = ${theirs.users.app_viewer}
    `;
    await failTimes(6, "198.51.100.1", { tenant: "theirs" });
    expect(codeOf(await signInFrom("198.51.100.2"))).toBe("signed in");
    await sql`
      update rate_limiter.users set email = 'app_viewer@theirs.example'
      where user_id = ${theirs.users.app_viewer}
    `;
  });

  test("guesses no faster with many sign-ins at once", async () => {
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) => signInFrom("203.0.113.1", { password: `wrong ${n}` })),
    );
    const looked = answers.filter((answer) => codeOf(answer) === "QS401");
    expect(looked.length).toBeLessThanOrEqual(5);
  });

  test("is slowed by address whatever accounts are tried", async () => {
    for (let n = 0; n < 20; n += 1) {
      await signInFrom("203.0.113.2", { email: `user${n}@mine.example`, password: "wrong" });
    }
    await keepWaiting();
    expect(codeOf(await signInFrom("203.0.113.2"))).toBe("QS429");
    expect(codeOf(await signInFrom("203.0.113.3"))).toBe("signed in");
  });
});

describe("a sign-in", () => {
  test("names its tenant", async () => {
    const answer = await api.nobody.ask(
      'mutation { login(input: { email: "a@b.example", password: "p" }) { accessToken } }',
    );
    expect(codeOf(answer)).toBe("QS400");
  });

  test("is audited where no account was meant", async () => {
    await signInFrom("203.0.113.9", { email: "not.there@mine.example" });
    const rows = await sql`
      select user_id, tenant_id, status from rate_limiter_audit.audit_logs
      where ip_address = '203.0.113.9'
    `;
    expect([...rows]).toEqual([{ user_id: null, tenant_id: null, status: "failure" }]);
  });
});

describe("a new password", () => {
  const change = `mutation ($next: String!) {
    changePassword(input: { currentPassword: "${password}", newPassword: $next }) { changed }
  }`;

  test.each([
    ["password1234", "QS422 password is easy to guess"],
    ["qwertyuiop12", "QS422 password is easy to guess"],
    ["aaaaaaaaaaaaaaaaaa", "QS422 password is easy to guess"],
    ["app_admin@mine.example", "QS422 password is easy to guess"],
    ["short", "QS422 password is too short"],
    ["tangled orchid ".repeat(20), "QS422 password is too long"],
  ])("%s is refused", async (next, refusal) => {
    expect(await refusalOf(as.app_admin.ask(change, { next }))).toBe(refusal);
  });

  test("is refused by an administrator's reset as well", async () => {
    const reset = as.tenant_admin.ask(
      `mutation ($user: UUID!) {
        resetPassword(input: { userId: $user, newPassword: "password1234" }) { changed }
      }`,
      { user: mine.users.auditor },
    );
    expect(await refusalOf(reset)).toBe("QS422 password is easy to guess");
  });
});

describe("a second factor", () => {
  const own = "app_admin@mine.example";
  const enrol = `mutation {
    enrolSecondFactor(input: { currentPassword: "${password}" }) { otpauthUri }
  }`;
  const withCode = (mutation: string) => `mutation ($code: String!) {
    ${mutation}(input: { currentPassword: "${password}", code: $code }) { changed }
  }`;
  const appOf = (uri: string) =>
    new TOTP({
      algorithm: "SHA1",
      secret: new URL(uri.replace("otpauth:", "http:")).searchParams.get("secret") ?? "",
    });
  const codeIn = (totp: TOTP, steps = 0) =>
    totp.generate({ timestamp: Date.now() + steps * 30_000 });
  /** As if the time steps of earlier codes were long over. */
  const forgetSteps = () => sql`update rate_limiter_private.second_factors set last_used_step = 0`;

  test("is asked for once a code has confirmed it, and each code works once", async () => {
    const client = await api.signIn(own);
    const app = appOf((await dataOf(client.ask(enrol))).enrolSecondFactor.otpauthUri);
    expect(codeOf(await signInFrom("192.0.2.20", { email: own })), "not yet").toBe("signed in");
    const wrong = await refusalOf(client.ask(withCode("confirmSecondFactor"), { code: "000000" }));
    expect(wrong).toBe("QS403 one-time code is wrong");
    await dataOf(client.ask(withCode("confirmSecondFactor"), { code: codeIn(app) }));

    expect(messageOf(await signInFrom("192.0.2.20", { email: own }))).toBe(
      "one-time code is missing",
    );
    await forgetSteps();
    const code = codeIn(app);
    expect(codeOf(await signInFrom("192.0.2.20", { email: own, code }))).toBe("signed in");
    expect(messageOf(await signInFrom("192.0.2.20", { email: own, code })), "again").toBe(
      "email or password is wrong",
    );
  });

  test("is guessed no faster than a password, with the password known", async () => {
    for (let n = 1; n <= 5; n += 1) {
      await signInFrom("192.0.2.21", { email: own });
      await signInFrom("192.0.2.21", { email: own, code: "000000" });
    }
    await keepWaiting();
    expect(codeOf(await signInFrom("192.0.2.21", { email: own }))).toBe("QS429");
  });

  test("is stored encrypted, and opened by none of another key", async () => {
    const [row] = await sql<{ secret: Buffer }[]>`
      select encrypted_secret as secret from rate_limiter_private.second_factors
    `;
    expect(row?.secret.length).toBe(12 + 16 + 20);
  });

  test("is removed with a code, or by an administrator who may", async () => {
    const reset = `mutation ($user: UUID!) {
      resetSecondFactor(input: { userId: $user }) { isReset }
    }`;
    const user = mine.users.app_admin;
    expect(await refusalOf(as.ops_admin.ask(reset, { user }))).toBe("QS403 permission denied");
    expect(await refusalOf(as.tenant_admin.ask(reset, { user: mine.users.tenant_admin }))).toBe(
      "QS403 your own account asks for your password",
    );
    await dataOf(as.tenant_admin.ask(reset, { user }));
    expect(codeOf(await signInFrom("192.0.2.22", { email: own }))).toBe("signed in");
  });

  test.each(["tenant", "system"])("is required by a setting of the %s", async (whose) => {
    const set = (required: boolean) =>
      whose === "tenant"
        ? dataOf(
            as.tenant_admin.ask(
              `mutation ($id: UUID!, $required: Boolean!) {
                updateTenant(input: {
                  tenantId: $id, patch: { requiresSecondFactor: $required }
                }) { tenant { requiresSecondFactor } }
              }`,
              { id: mine.tenantId, required },
            ),
          )
        : sql`
            update rate_limiter.system_settings set value = ${String(required)}
            where key = 'second_factor_required'
          `;
    await set(true);
    const address = "192.0.2.23";
    const first = await signInFrom(address);
    expect(messageOf(first)).toBe("second factor is required");
    const app = appOf(`${first.errors?.[0]?.extensions.otpauthUri}`);
    const second = await signInFrom(address, { code: codeIn(app) });
    expect(codeOf(second)).toBe("signed in");
    await set(false);
    expect(messageOf(await signInFrom(address)), "it stays").toBe("one-time code is missing");
    await sql`delete from rate_limiter_private.second_factors`;
  });
});
