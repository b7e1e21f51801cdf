import type { Field } from "../fields.ts";
import { fieldsSchema, readFields, writeFields } from "../fields.ts";
import type { Form } from "./form.ts";

/** Fields in an object; where only the first one is given, its value alone says it. */
export function group(title: string, fields: readonly [Field, ...Field[]]): Form {
  const [first] = fields;
  return {
    schema: {
      title,
      if: { type: "object" },
      // biome-ignore lint/suspicious/noThenProperty: JSON schema has this key.
      then: { ...fieldsSchema(fields), required: [first.key] },
      else: first.form.schema,
    },
    read: (value) =>
      typeof value === "object" && value !== null
        ? readFields(fields, value as Record<string, unknown>)
        : readFields([first], { [first.key]: value }),
    write(value) {
      const written = writeFields(fields, value as Record<string, unknown>);
      return Object.keys(written).length === 1 ? written[first.key] : written;
    },
  };
}
