import type { Management, Setting } from "../management.ts";
import { type ApiTarget, apiClient } from "./api-client.ts";
import { applyConfiguration, compareConfiguration, readConfiguration } from "./configuration.ts";
import { usageOverTime, whyThrottled } from "./inspect.ts";
import { keysOf } from "./keys.ts";
import { pageSize } from "./pages.ts";
import { previewQuota } from "./preview.ts";
import { serviceAccountsOf } from "./service-accounts.ts";
import { serviceTokensOf } from "./service-tokens.ts";
import { usersOf } from "./users.ts";

const settings = `query ($first: Int!) {
  systemSettings(first: $first) {
    nodes { key value valueType minimum maximum choices description isSensitive }
  }
}`;
const setSetting = `mutation ($key: String!, $value: String!) {
  setSetting(input: { key: $key, value: $value }) { clientMutationId }
}`;
const operations = `query ($first: Int!) {
  operationTypes(first: $first) { nodes { name isActive } }
}`;

type SettingNode = Omit<Setting, "type" | "is_sensitive"> & {
  readonly valueType: string;
  readonly isSensitive: boolean;
};

/** Each command is one or more requests, each of which is a transaction. */
export function apiManagement(target: ApiTarget): Management {
  const client = apiClient(target);
  const nodesOf = async <Node>(query: string, name: string) => {
    const answer = await client.ask<Record<string, { nodes: Node[] }>>(query, { first: pageSize });
    return answer[name]?.nodes ?? [];
  };
  return {
    configuration: () => readConfiguration(client),
    compare: (configuration, prune) => compareConfiguration(client, configuration, prune),
    apply: (configuration, options) => applyConfiguration(client, configuration, options),
    keys: keysOf(client),
    users: usersOf(client),
    serviceAccounts: serviceAccountsOf(client),
    serviceTokens: serviceTokensOf(client),
    async settings() {
      const nodes = await nodesOf<SettingNode>(settings, "systemSettings");
      return nodes.map(({ valueType, isSensitive, ...setting }) => ({
        ...setting,
        type: valueType.toLowerCase(),
        is_sensitive: isSensitive,
      }));
    },
    async setSetting(key, value) {
      await client.ask(setSetting, { key, value });
    },
    why: (path, operation, bytes) => whyThrottled(client, path, operation, bytes),
    usage: (path, span) => usageOverTime(client, path, span),
    preview: (path, limits) => previewQuota(client, path, limits),
    async operations() {
      type Node = { name: string; isActive: boolean };
      const nodes = await nodesOf<Node>(operations, "operationTypes");
      return nodes.filter(({ isActive }) => isActive).map(({ name }) => name);
    },
  };
}
