import { inOrder, presentFields } from "./in-order.ts";
import type { Fields, Resource } from "./resource.ts";

/** Programs, by tenant and name. Service tokens let them in. */
export const serviceAccounts: Resource = {
  name: "service-account",
  plural: "service-accounts",
  aliases: [],
  names: ["tenant", "name"],
  fields: new Map([
    ["role", "a role that is given for good"],
    ["active", "true or false; false ends its tokens for good"],
  ]),
  async list(management) {
    const all = await management.serviceAccounts.list();
    return inOrder(
      all.map(({ tenant, name, active, roles }) => ({
        path: [tenant, name],
        fields: presentFields({ active, ...(roles.length > 0 && { roles: roles.toSorted() }) }),
      })),
    );
  },
  async create(management, path, { given }) {
    await management.serviceAccounts.create(path, changeOf(given).role);
    return {};
  },
  set: (management, { path }, { given }) =>
    management.serviceAccounts.change(path, changeOf(given)),
  async delete(management, { path }) {
    await management.serviceAccounts.delete(path);
    return "deleted";
  },
};

function changeOf({ active, role }: Fields) {
  return {
    active: typeof active === "boolean" ? active : null,
    role: role === undefined ? null : String(role),
  };
}
