import type { ApiClient } from "./api-client.ts";
import { everyNode } from "./pages.ts";

/** Fewer than a page has: each brings its roles along. */
const accountsAtOnce = 50;

const all = `query ($first: Int!, $after: Cursor, $filter: UserFilter) {
  users(first: $first, after: $after, filter: $filter) {
    nodes {
      userId email username isActive isServiceAccount lastLoginAt
      tenant { name }
      userRoles(first: 50) { nodes { role { name } } }
    }
    pageInfo { hasNextPage endCursor }
  }
}`;
const assign = `mutation ($userId: UUID!, $role: String!) {
  assignRole(input: { userId: $userId, role: $role }) { clientMutationId }
}`;
const update = `mutation ($userId: UUID!, $patch: UserPatch!) {
  updateUser(input: { userId: $userId, patch: $patch }) { user { userId } }
}`;
const remove = `mutation ($userId: UUID!) {
  deleteUser(input: { userId: $userId }) { clientMutationId }
}`;

/** A person, or the account of a program. */
export interface Account {
  readonly userId: string;
  readonly email: string | null;
  readonly username: string;
  readonly isActive: boolean;
  readonly isServiceAccount: boolean;
  readonly lastLoginAt: string | null;
  readonly tenant: { readonly name: string };
  readonly userRoles: { readonly nodes: readonly { readonly role: { readonly name: string } }[] };
}

/** Of one tenant, where its name is given: the API filters no accounts by their own names. */
export function everyAccount(client: ApiClient, tenant?: string): Promise<Account[]> {
  const filter = tenant === undefined ? undefined : { tenant: { name: { equalTo: tenant } } };
  return everyNode<Account>(client, "users", all, filter, accountsAtOnce);
}

export function rolesOf({ userRoles }: Account): string[] {
  return userRoles.nodes.map(({ role }) => role.name);
}

export async function assignRole(client: ApiClient, userId: string, role: string | null) {
  if (role !== null) await client.ask(assign, { userId, role });
}

export async function updateAccount(client: ApiClient, userId: string, patch: object) {
  if (Object.keys(patch).length > 0) await client.ask(update, { userId, patch });
}

export async function deleteAccount(client: ApiClient, userId: string) {
  await client.ask(remove, { userId });
}
