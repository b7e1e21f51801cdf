import { describe, expect, test } from "vitest";
import type { Client } from "../api.ts";
import { dataOf, refusalOf, serveTwoTenants } from "../world.ts";

const { database, api, as, theirs } = await serveTwoTenants();
const { sql } = database;
const secret = "tangled orchid ferry 77";
const over = "QS404 invitation does not work";

const invite = `mutation (
  $email: String!, $roles: [String!], $rolesUntil: Datetime, $until: Datetime, $tenant: UUID
) {
  inviteUser(input: {
    email: $email, roles: $roles, rolesExpireAt: $rolesUntil, expiresAt: $until, tenantId: $tenant
  }) { userId invitationId token }
}`;
const renew = `mutation ($user: UUID!) {
  renewInvitation(input: { userId: $user }) { invitationId token }
}`;
const accept = `mutation ($token: String!, $password: String!) {
  acceptInvitation(input: { token: $token, newPassword: $password }) {
    tenant email requiresSecondFactor
  }
}`;

interface Invited {
  readonly userId: string;
  readonly invitationId: string;
  readonly token: string;
}

async function invited(email: string, by: Client = as.tenant_admin): Promise<Invited> {
  const { inviteUser } = await dataOf(by.ask(invite, { email, roles: ["app_viewer"] }));
  return inviteUser;
}

const give = (user: string | undefined, role: string) =>
  dataOf(
    as.system_admin.ask(
      `mutation ($user: UUID!, $role: String!) {
        assignRole(input: { userId: $user, role: $role }) { userRole { userRoleId } }
      }`,
      { user, role },
    ),
  );

const accepting = (token: string, password = secret) => api.nobody.ask(accept, { token, password });

describe("an invitation", () => {
  test("sets a password that no administrator knows, once", async () => {
    const email = "new@mine.example";
    const { token, userId, invitationId } = await invited(email);
    expect(await refusalOf(accepting(token, "password1234"))).toBe(
      "QS422 password is easy to guess",
    );
    expect(await refusalOf(accepting(token, "short"))).toBe("QS422 password is too short");
    const { acceptInvitation } = await dataOf(accepting(token));
    expect(acceptInvitation).toEqual({ tenant: "mine", email, requiresSecondFactor: false });
    const client = await api.signIn(email, secret);
    const { viewer } = await dataOf(client.ask("{ viewer { userId } }"));
    expect(viewer.userId).toBe(userId);
    expect(await refusalOf(accepting(token, `${secret} again`))).toBe(over);
    const audit = await sql`
      select entity_type, action, coalesce(new_values, '{}')::text like '%token_hash"%' as tells
      from rate_limiter_audit.audit_logs
      where entity_id = ${invitationId} or entity_id = ${userId} and action = 'set_password'
      order by created_at
    `;
    expect(audit.map(({ entity_type, action }) => `${action} ${entity_type}`)).toEqual([
      "insert invitations",
      "update invitations",
      "set_password users",
    ]);
    expect(audit.some(({ tells }) => tells)).toBe(false);
  });

  test("that was never made, has expired, was revoked or replaced is told in the same words", async () => {
    const expired = await invited("expired@mine.example");
    await sql`
      update rate_limiter_private.invitations set expires_at = clock_timestamp()
      where invitation_id = ${expired.invitationId}
    `;
    const revoked = await invited("revoked@mine.example");
    await dataOf(
      as.tenant_admin.ask(
        `mutation ($id: UUID!) { revokeInvitation(input: { invitationId: $id }) { revokedAt } }`,
        { id: revoked.invitationId },
      ),
    );
    const replaced = await invited("replaced@mine.example");
    const { renewInvitation } = await dataOf(as.tenant_admin.ask(renew, { user: replaced.userId }));
    const tokens = [expired, revoked, replaced].map(({ token }) => token);
    for (const token of ["", `qsi_${"A".repeat(43)}`, ...tokens]) {
      expect(await refusalOf(accepting(token))).toBe(over);
    }
    await dataOf(accepting(renewInvitation.token));
  });

  test("ends with the deactivation of its inviter or of the invited, and with a new address", async () => {
    const [maker, moved, gone] = await Promise.all(
      ["maker", "moved", "gone"].map((name) => invited(`${name}@mine.example`)),
    );
    const change = (user: string | undefined, patch: object) =>
      dataOf(
        as.tenant_admin.ask(
          `mutation ($user: UUID!, $patch: UserPatch!) {
            updateUser(input: { userId: $user, patch: $patch }) { user { userId } }
          }`,
          { user, patch },
        ),
      );
    const by = await invited("by@mine.example");
    await give(maker?.userId, "tenant_admin");
    await sql`
      update rate_limiter_private.invitations set created_by = ${maker?.userId ?? null}
      where invitation_id = ${by.invitationId}
    `;
    await change(maker?.userId, { isActive: false });
    await change(moved?.userId, { email: "elsewhere@mine.example" });
    await change(gone?.userId, { isActive: false });
    await change(gone?.userId, { isActive: true });
    for (const each of [by, maker, moved, gone]) {
      expect(await refusalOf(accepting(each?.token ?? ""))).toBe(over);
    }
  });

  test("lets in as long as its inviter could do it now, to what the invited holds now", async () => {
    const kept = await invited("kept@mine.example");
    const raised = await invited("raised@mine.example");
    const lasting = await invited("lasting@mine.example");
    const inviter = await invited("inviter@mine.example");
    await give(inviter.userId, "tenant_admin");
    await sql`
      update rate_limiter_private.invitations set created_by = ${inviter.userId}
      where user_id in (${kept.userId}, ${raised.userId}, ${lasting.userId})
    `;
    const ending = (at: string | null) => sql`
      update rate_limiter.user_roles set expires_at = ${at}
      where user_id = ${inviter.userId}
        and role_id = (select role_id from rate_limiter.roles where name = 'tenant_admin')
    `;

    await give(lasting.userId, "app_admin");
    await give(raised.userId, "system_admin");
    expect(await refusalOf(accepting(raised.token))).toBe(over);
    // Roles of a moment let none in to an account that lasts.
    await ending("2100-01-01");
    expect(await refusalOf(accepting(lasting.token))).toBe(over);
    await ending(null);
    await dataOf(accepting(lasting.token));
    await dataOf(
      as.system_admin.ask(
        `mutation ($user: UUID!) {
          expireRole(input: { userId: $user, role: "tenant_admin" }) { __typename }
        }`,
        { user: inviter.userId },
      ),
    );
    expect(await refusalOf(accepting(kept.token))).toBe(over);
  });

  test("gives no more than its inviter could, no longer, and in no other tenant", async () => {
    const attempt = (by: Client, more: Record<string, unknown>) =>
      refusalOf(by.ask(invite, { email: "above@mine.example", roles: [], ...more }));
    expect(await attempt(as.tenant_admin, { roles: ["system_admin"] })).toBe(
      "QS403 role allows more than you may give",
    );
    expect(await attempt(as.app_admin, {})).toBe("QS403 permission denied");
    expect(await attempt(as.tenant_admin, { tenant: theirs.tenantId })).toBe(
      "QS404 unknown tenant",
    );
    const far = new Date(Date.now() + 365 * 86_400_000).toISOString();
    expect(await attempt(as.system_admin, { until: far })).toBe(
      "QS422 invitation would have expired, or last too long",
    );
    expect(await refusalOf(as.tenant_admin.ask(renew, { user: theirs.users.auditor }))).toBe(
      "QS404 unknown user",
    );
  });

  test("has two tokens at most, of which one is used: that of the mail is made for it", async () => {
    const { token, invitationId } = await invited("mailed@mine.example");
    const worker = database.as("rate_limiter_worker");
    const [mail] = await worker`
      select * from rate_limiter_private.send_invitation(${invitationId})
    `;
    expect(mail).toMatchObject({ email: "mailed@mine.example", tenant: "mine" });
    const [again] = await worker`
      select * from rate_limiter_private.send_invitation(${invitationId})
    `;
    expect(await refusalOf(accepting(mail?.token))).toBe(over);
    await dataOf(accepting(again?.token));
    expect(await refusalOf(accepting(token))).toBe(over);
    const jobs = await sql`
      select payload::text as payload from graphile_worker._private_jobs
      where payload ->> 'invitation_id' = ${invitationId}
    `;
    expect(jobs).toHaveLength(1);
    expect(jobs[0]?.payload).not.toContain("qsi_");
  });

  test("asks who has to have a second factor for one at the first sign-in", async () => {
    const { token } = await invited("second@mine.example");
    await sql`update rate_limiter.tenants set requires_second_factor = true where name = 'mine'`;
    try {
      const { acceptInvitation } = await dataOf(accepting(token));
      expect(acceptInvitation.requiresSecondFactor).toBe(true);
      const login = `mutation { login(input: {
        tenant: "mine", email: "second@mine.example", password: "${secret}"
      }) { accessToken } }`;
      expect(await refusalOf(api.nobody.ask(login))).toBe("QS401 second factor is required");
    } finally {
      await sql`update rate_limiter.tenants set requires_second_factor = false`;
    }
  });

  test("of a tenant's people are few a day, with renewed ones and those of deleted users", async () => {
    const setMost = (most: number) => sql`
      update rate_limiter.system_settings set value = ${most}
      where key = 'new_invitations_per_day'
    `;
    const [made] = await sql`
      select count(*)::integer from rate_limiter_audit.audit_logs as l
      join rate_limiter.tenants as t on t.tenant_id = l.tenant_id and t.name = 'mine'
      where l.entity_type = 'invitations' and l.action = 'insert'
    `;
    await setMost(made?.count + 2);
    try {
      const { userId } = await invited("few@mine.example");
      await dataOf(as.tenant_admin.ask(renew, { user: userId }));
      const remove =
        "mutation ($user: UUID!) { deleteUser(input: { userId: $user }) { __typename } }";
      await dataOf(as.tenant_admin.ask(remove, { user: userId }));
      const again = as.tenant_admin.ask(invite, { email: "few@mine.example", roles: [] });
      expect(await refusalOf(again)).toBe("QS403 too many new invitations");
      const tenant = theirs.tenantId;
      await dataOf(as.system_admin.ask(invite, { email: "few@theirs.example", tenant }));
    } finally {
      await setMost(200);
    }
  });

  test("is mailed beside those of another tenant, however many wait", async () => {
    const tenant = theirs.tenantId;
    const flood = [await invited("flood-1@mine.example"), await invited("flood-2@mine.example")];
    await dataOf(as.system_admin.ask(invite, { email: "waits@theirs.example", tenant }));
    const queues = await sql`
      select q.queue_name, count(*)::integer
      from graphile_worker._private_jobs as j
      join graphile_worker._private_job_queues as q on q.id = j.job_queue_id
      join rate_limiter_private.invitations as i
        on i.invitation_id = (j.payload ->> 'invitation_id')::uuid
      join rate_limiter.users as u on u.user_id = i.user_id
      where u.user_id = any (${flood.map(({ userId }) => userId)})
        or u.email = 'waits@theirs.example'
      group by q.queue_name
      order by 2
    `;
    expect(queues.map(({ count }) => count)).toEqual([1, 2]);
  });
});
