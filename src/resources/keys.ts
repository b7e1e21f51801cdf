import { requireMoment } from "../input/require-moment.ts";
import { inOrder, presentFields } from "./in-order.ts";
import type { Resource } from "./resource.ts";

/** API keys: shown when they are made, and known by their first characters from then on. */
export const keys: Resource = {
  name: "key",
  plural: "keys",
  aliases: ["api-key", "api-keys"],
  names: ["tenant", "application", "prefix"],
  namesAtFirst: ["tenant", "application"],
  fields: new Map([
    ["name", "what people call it"],
    ["expires_at", "a moment such as 2027-01-01T00:00Z"],
  ]),
  async list(management) {
    const all = await management.keys.list();
    return inOrder(
      all.map(({ tenant, application, prefix, ...others }) => ({
        path: [tenant, application, prefix],
        fields: presentFields(others),
      })),
    );
  },
  async create(management, path, { given: { name, expires_at: end } }) {
    const expiresAt = end === undefined ? null : requireMoment(String(end), "expires_at");
    const given = { name: name === undefined ? null : String(name), expiresAt };
    return { api_key: await management.keys.create(path, given) };
  },
  async delete(management, { path }) {
    await management.keys.revoke(path);
    return "revoked";
  },
};
