import type { Key, ManagedKeys } from "../management.ts";
import type { ApiClient } from "./api-client.ts";
import { applicationId } from "./find.ts";
import { everyNode } from "./pages.ts";

const all = `query ($first: Int!, $after: Cursor, $filter: ApiKeyFilter) {
  apiKeys(first: $first, after: $after, filter: $filter) {
    nodes {
      apiKeyId prefix name createdAt expiresAt revokedAt suspendedUntil
      application { name tenant { name } }
    }
    pageInfo { hasNextPage endCursor }
  }
}`;
const create = `mutation ($input: CreateApiKeyInput!) {
  createApiKey(input: $input) { apiKey }
}`;
const revoke = `mutation ($apiKeyId: UUID!) {
  revokeApiKey(input: { apiKeyId: $apiKeyId }) { clientMutationId }
}`;

interface Node {
  readonly apiKeyId: string;
  readonly prefix: string;
  readonly name: string | null;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
  readonly suspendedUntil: string | null;
  readonly application: { readonly name: string; readonly tenant: { readonly name: string } };
}

export function keysOf(client: ApiClient): ManagedKeys {
  const nodes = (filter?: object) => everyNode<Node>(client, "apiKeys", all, filter);

  return {
    list: async () => (await nodes()).map(keyOf),
    async create(path, { name, expiresAt }) {
      const input = { appId: await applicationId(client, path), name, expiresAt };
      type Answer = { createApiKey: { apiKey: string } };
      return (await client.ask<Answer>(create, { input })).createApiKey.apiKey;
    },
    async revoke(path) {
      for (const node of await nodes({ prefix: { equalTo: path.at(-1) } })) {
        const { tenant, application, prefix, revoked_at } = keyOf(node);
        const isMeant = String([tenant, application, prefix]) === String(path);
        if (isMeant && revoked_at === null) await client.ask(revoke, { apiKeyId: node.apiKeyId });
      }
    },
  };
}

function keyOf({ application, prefix, name, ...moments }: Node): Key {
  return {
    ...{ tenant: application.tenant.name, application: application.name, prefix, name },
    created_at: moments.createdAt,
    expires_at: moments.expiresAt,
    revoked_at: moments.revokedAt,
    suspended_until: moments.suspendedUntil,
  };
}
