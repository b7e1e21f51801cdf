import { InputError } from "../user-error.ts";
import type { Fields, Resource } from "./resource.ts";

/** Settings of the whole system: there are those that there are. */
export const settings: Resource = {
  name: "setting",
  plural: "settings",
  aliases: [],
  names: ["key"],
  fields: new Map([["value", "a value of its type, within its bounds"]]),
  async list(sql) {
    const rows = await sql<{ key: string; fields: Fields }[]>`
      select
        s.key,
        jsonb_strip_nulls(jsonb_build_object(
          'value', case when s.is_sensitive then '(secret)' else s.value end,
          'type', s.value_type, 'minimum', s.minimum, 'maximum', s.maximum, 'choices', s.choices,
          'description', s.description
        )) as fields
      from rate_limiter.system_settings as s
      order by s.key
    `;
    return rows.map(({ key, fields }) => ({ path: [key], fields }));
  },
  async set(sql, { path: [key = ""] }, { given: { value } }) {
    if (value === undefined) {
      throw new InputError("fields_invalid", "value is missing", "Write value=…");
    }
    await sql`select from rate_limiter_admin.set_setting(${key}, ${String(value)})`;
  },
};
