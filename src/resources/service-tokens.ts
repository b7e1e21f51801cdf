import { requireMoment } from "../input/require-moment.ts";
import type { NewServiceToken } from "../management/management.ts";
import { InputError } from "../user-error.ts";
import { inOrder, presentFields } from "./in-order.ts";
import type { Fields, Resource } from "./resource.ts";

/** Tokens of service accounts: shown when they are made, and known by their first characters. */
export const serviceTokens: Resource = {
  name: "service-token",
  plural: "service-tokens",
  aliases: [],
  names: ["tenant", "account", "prefix"],
  namesAtFirst: ["tenant", "account"],
  fields: new Map([
    ["expires_at", "a moment such as 2027-01-01T00:00Z; it has to be given"],
    ["name", "what people call it"],
    ["permissions", "what it may use of the account's, as in [quota:read]; all where absent"],
  ]),
  async list(management) {
    const all = await management.serviceTokens.list();
    return inOrder(
      all.map(({ tenant, account, prefix, ...others }) => ({
        path: [tenant, account, prefix],
        fields: presentFields(others),
      })),
    );
  },
  async create(management, path, { given }) {
    return { token: await management.serviceTokens.create(path, newToken(given)) };
  },
  async delete(management, { path }) {
    await management.serviceTokens.revoke(path);
    return "revoked";
  },
};

function newToken({ expires_at: end, name, permissions }: Fields): NewServiceToken {
  if (end === undefined) {
    throw new InputError("fields_invalid", "expires_at is missing", "Write expires_at=…");
  }
  return {
    expiresAt: requireMoment(String(end), "expires_at"),
    name: name === undefined ? null : String(name),
    permissions: permissions === undefined ? null : [permissions].flat().map(String),
  };
}
