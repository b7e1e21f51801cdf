import type { Field } from "../configuration/fields.ts";
import { InputError } from "../user-error.ts";
import { configured } from "./configured.ts";
import { keys } from "./keys.ts";
import { nearest } from "./nearest.ts";
import type { Resource } from "./resource.ts";
import { serviceAccounts } from "./service-accounts.ts";
import { serviceTokens } from "./service-tokens.ts";
import { settings } from "./settings.ts";
import { users } from "./users.ts";

const threshold: Field = {
  key: "threshold",
  column: "threshold_value",
  form: {
    schema: {
      title: "a number",
      type: ["number", "string"],
      pattern: "^-?\\d+(\\.\\d+)?([eE][+-]?\\d+)?$",
    },
    read: String,
    write: Number,
  },
  says: "What the metric is compared with.",
  isRequired: true,
};

const application = ["tenant", "application"];

/** Everything that `get`, `describe`, `create`, `set` and `delete` know. */
export const resources: readonly Resource[] = [
  configured("tenant", { name: "tenant", plural: "tenants", names: ["tenant"] }),
  configured("cluster", { name: "cluster", plural: "clusters", names: ["cluster"] }),
  configured("application", {
    name: "application",
    plural: "applications",
    aliases: ["app", "apps"],
    names: application,
  }),
  keys,
  configured("quota", { name: "quota", plural: "quotas", names: application }),
  configured("cluster_quota", {
    name: "cluster-quota",
    plural: "cluster-quotas",
    names: ["cluster"],
  }),
  configured("default_quota", {
    name: "default-quota",
    plural: "default-quotas",
    names: ["cluster"],
  }),
  configured("reservation", { name: "reservation", plural: "reservations", names: application }),
  configured("ceiling", { name: "ceiling", plural: "ceilings", names: ["tenant", "cluster"] }),
  configured("cost_rule", {
    name: "cost-rule",
    plural: "cost-rules",
    names: [...application, "operation"],
  }),
  users,
  serviceAccounts,
  serviceTokens,
  configured("role", { name: "role", plural: "roles", names: ["role"] }),
  configured("alert", {
    name: "alert",
    plural: "alerts",
    names: [...application, "metric", "comparison", "severity"],
    more: [threshold],
  }),
  configured("default_alert", {
    name: "default-alert",
    plural: "default-alerts",
    names: ["metric", "comparison", "severity"],
    more: [threshold],
  }),
  settings,
];

export function resourceOf(word: string): Resource {
  const found = resources.find(({ name, plural, aliases }) =>
    [name, plural, ...aliases].includes(word),
  );
  if (found !== undefined) return found;
  const names = resources.flatMap(({ name, plural, aliases }) => [name, plural, ...aliases]);
  throw new InputError(
    "kind_unknown",
    `unknown kind: ${word} ${nearest(word, names)}`.trim(),
    `Kinds are ${resources.map(({ plural }) => plural).join(", ")}.`,
  );
}

/** A kind that a command can be used with. */
export function resourceFor(action: "create" | "set" | "delete", word: string): Resource {
  const resource = resourceOf(word);
  if (resource[action] !== undefined) return resource;
  const able = resources.filter((each) => each[action] !== undefined);
  throw new InputError(
    "kind_unfit",
    `${resource.plural} are not for ${action}`,
    `${action} takes ${able.map(({ name }) => name).join(", ")}.`,
  );
}
