import type { ManagedServiceTokens, ServiceToken } from "../management.ts";
import type { ApiClient } from "./api-client.ts";
import { everyNode } from "./pages.ts";
import { serviceAccountId } from "./service-accounts.ts";

const all = `query ($first: Int!, $after: Cursor, $filter: ServiceTokenFilter) {
  serviceTokens(first: $first, after: $after, filter: $filter) {
    nodes {
      tokenId prefix name permissions createdAt expiresAt lastUsedAt revokedAt
      serviceAccount { username tenant { name } }
    }
    pageInfo { hasNextPage endCursor }
  }
}`;
const issue = `mutation ($input: IssueServiceTokenInput!) {
  issueServiceToken(input: $input) { token }
}`;
const revoke = `mutation ($tokenId: UUID!) {
  revokeServiceToken(input: { tokenId: $tokenId }) { clientMutationId }
}`;

interface Node {
  readonly tokenId: string;
  readonly prefix: string;
  readonly name: string | null;
  readonly permissions: readonly string[] | null;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly lastUsedAt: string | null;
  readonly revokedAt: string | null;
  readonly serviceAccount: {
    readonly username: string;
    readonly tenant: { readonly name: string };
  };
}

export function serviceTokensOf(client: ApiClient): ManagedServiceTokens {
  const nodes = (filter?: object) => everyNode<Node>(client, "serviceTokens", all, filter);

  return {
    list: async () => (await nodes()).map(tokenOf),
    async create(path, { name, expiresAt, permissions }) {
      const input = { userId: await serviceAccountId(client, path), name, expiresAt, permissions };
      type Answer = { issueServiceToken: { token: string } };
      return (await client.ask<Answer>(issue, { input })).issueServiceToken.token;
    },
    async revoke(path) {
      for (const node of await nodes({ prefix: { equalTo: path.at(-1) } })) {
        const { tenant, account, prefix, revoked_at } = tokenOf(node);
        const isMeant = String([tenant, account, prefix]) === String(path);
        if (isMeant && revoked_at === null) await client.ask(revoke, { tokenId: node.tokenId });
      }
    },
  };
}

function tokenOf({ serviceAccount, prefix, name, permissions, ...moments }: Node): ServiceToken {
  return {
    ...{ tenant: serviceAccount.tenant.name, account: serviceAccount.username, prefix, name },
    permissions,
    created_at: moments.createdAt,
    expires_at: moments.expiresAt,
    last_used_at: moments.lastUsedAt,
    revoked_at: moments.revokedAt,
  };
}
