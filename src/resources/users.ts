import type { UserChange } from "../management/management.ts";
import { inOrder, presentFields } from "./in-order.ts";
import type { Fields, Resource } from "./resource.ts";

/** People, by tenant and address. They sign in once reset-password has given them a password. */
export const users: Resource = {
  name: "user",
  plural: "users",
  aliases: [],
  names: ["tenant", "email"],
  fields: new Map([
    ["username", "what people call them"],
    ["role", "a role that is given for good"],
    ["active", "true or false"],
  ]),
  async list(management) {
    const all = await management.users.list();
    return inOrder(
      all.map(({ tenant, email, roles, ...others }) => ({
        path: [tenant, email],
        fields: presentFields({ ...others, ...(roles.length > 0 && { roles: roles.toSorted() }) }),
      })),
    );
  },
  async create(management, path, { given }) {
    await management.users.create(path, changeOf(given));
    return {};
  },
  set: (management, { path }, { given }) => management.users.change(path, changeOf(given)),
  async delete(management, { path }) {
    await management.users.delete(path);
    return "deleted";
  },
};

function changeOf({ username, active, role }: Fields): UserChange {
  return {
    username: username === undefined ? null : String(username),
    active: typeof active === "boolean" ? active : null,
    role: role === undefined ? null : String(role),
  };
}
