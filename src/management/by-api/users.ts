import type { ManagedUsers, User } from "../management.ts";
import {
  type Account,
  assignRole,
  deleteAccount,
  everyAccount,
  rolesOf,
  updateAccount,
} from "./accounts.ts";
import type { ApiClient } from "./api-client.ts";
import { tenantId, unknown } from "./find.ts";

const create = `mutation ($input: CreateUserInput!) {
  createUser(input: $input) { user { userId } }
}`;

export function usersOf(client: ApiClient): ManagedUsers {
  const people = async (tenant?: string) =>
    (await everyAccount(client, tenant)).filter(({ isServiceAccount }) => !isServiceAccount);

  const idOf = async ([tenant = "", email = ""]: readonly string[]) => {
    const found = (await people(tenant)).find((each) => each.email === email);
    if (found === undefined) throw unknown("user", email);
    return found.userId;
  };

  return {
    list: async () => (await people()).map(userOf),
    async create([tenant = "", email = ""], { username, role }) {
      const input = {
        tenantId: await tenantId(client, tenant),
        email,
        username: username ?? email,
      };
      type Answer = { createUser: { user: { userId: string } } };
      const made = (await client.ask<Answer>(create, { input })).createUser.user;
      await assignRole(client, made.userId, role);
    },
    async change(path, { username, active, role }) {
      const id = await idOf(path);
      await updateAccount(client, id, {
        ...(username !== null && { username }),
        ...(active !== null && { isActive: active }),
      });
      await assignRole(client, id, role);
    },
    async delete(path) {
      await deleteAccount(client, await idOf(path));
    },
  };
}

function userOf(account: Account): User {
  const { tenant, email, username, isActive, lastLoginAt } = account;
  return {
    ...{ tenant: tenant.name, email: email ?? "", username, active: isActive },
    ...{ last_login_at: lastLoginAt, roles: rolesOf(account) },
  };
}
