import type { ManagedServiceAccounts } from "../management.ts";
import { assignRole, deleteAccount, everyAccount, rolesOf, updateAccount } from "./accounts.ts";
import type { ApiClient } from "./api-client.ts";
import { tenantId, unknown } from "./find.ts";

const create = `mutation ($input: CreateServiceAccountInput!) {
  createServiceAccount(input: $input) { clientMutationId }
}`;

export function serviceAccountsOf(client: ApiClient): ManagedServiceAccounts {
  return {
    async list() {
      return (await programs(client)).map((account) => ({
        ...{ tenant: account.tenant.name, name: account.username },
        ...{ active: account.isActive, roles: rolesOf(account) },
      }));
    },
    async create([tenant = "", name = ""], role) {
      const roles = role === null ? [] : [role];
      const input = { name, roles, tenantId: await tenantId(client, tenant) };
      await client.ask(create, { input });
    },
    async change(path, { active, role }) {
      const id = await serviceAccountId(client, path);
      await updateAccount(client, id, { ...(active !== null && { isActive: active }) });
      await assignRole(client, id, role);
    },
    async delete(path) {
      await deleteAccount(client, await serviceAccountId(client, path));
    },
  };
}

async function programs(client: ApiClient, tenant?: string) {
  return (await everyAccount(client, tenant)).filter(({ isServiceAccount }) => isServiceAccount);
}

export async function serviceAccountId(
  client: ApiClient,
  [tenant = "", name = ""]: readonly string[],
): Promise<string> {
  const found = (await programs(client, tenant)).find((each) => each.username === name);
  if (found === undefined) throw unknown("service account", name);
  return found.userId;
}
