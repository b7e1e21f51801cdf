import { InputError } from "../user-error.ts";
import { inOrder, presentFields } from "./in-order.ts";
import type { Resource } from "./resource.ts";

/** Settings of the whole system: there are those that there are. */
export const settings: Resource = {
  name: "setting",
  plural: "settings",
  aliases: [],
  names: ["key"],
  fields: new Map([["value", "a value of its type, within its bounds"]]),
  async list(management) {
    const all = await management.settings();
    return inOrder(
      all.map(({ key, value, type, is_sensitive, minimum, maximum, choices, description }) => ({
        path: [key],
        fields: presentFields({
          value: is_sensitive ? "(secret)" : value,
          type,
          minimum: minimum === null ? null : Number(minimum),
          maximum: maximum === null ? null : Number(maximum),
          choices,
          description,
        }),
      })),
    );
  },
  async set(management, { path: [key = ""] }, { given: { value } }) {
    if (value === undefined) {
      throw new InputError("fields_invalid", "value is missing", "Write value=…");
    }
    await management.setSetting(key, String(value));
  },
};
