import type { Form } from "./forms/form.ts";

/** A field of an object, as a file and as the database name it. */
export interface Field {
  readonly key: string;
  readonly column: string;
  readonly form: Form;
  /** What editors show of it. */
  readonly says: string;
  readonly isRequired?: boolean;
  /** What the database has where the file says nothing, so that an export leaves it out. */
  readonly usual?: unknown | ((spec: Readonly<Record<string, unknown>>) => unknown);
}

export interface ObjectSchema {
  readonly type: readonly string[] | string;
  readonly additionalProperties: false;
  readonly properties: Record<string, object>;
  readonly required?: readonly string[];
}

export function fieldsSchema(fields: readonly Field[]): ObjectSchema {
  const properties = Object.fromEntries(
    fields.map(({ key, form, says }) => [key, { ...form.schema, description: says }]),
  );
  const required = fields.filter(({ isRequired }) => isRequired).map(({ key }) => key);
  return { type: "object", additionalProperties: false, properties, required };
}

/** A value of a file that fits the schema and is none all the same, such as half a byte. */
export class UnreadableField extends Error {
  readonly key: string;
  readonly title: string;

  constructor({ key, form }: Field) {
    super(`${key} is not ${form.schema.title}`);
    this.key = key;
    this.title = form.schema.title;
  }
}

export function readFields(
  fields: readonly Field[],
  values: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const given = fields.filter(({ key }) => values[key] !== undefined && values[key] !== null);
  return Object.fromEntries(given.map((field) => [field.column, readField(field, values)]));
}

function readField(field: Field, values: Readonly<Record<string, unknown>>): unknown {
  const read = field.form.read(values[field.key]);
  if (read === undefined) throw new UnreadableField(field);
  return read;
}

export function writeFields(
  fields: readonly Field[],
  spec: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const told = fields.filter(({ column, usual }) => {
    const value = spec[column];
    const unsaid = typeof usual === "function" ? usual(spec) : usual;
    return (
      value !== undefined && value !== null && JSON.stringify(value) !== JSON.stringify(unsaid)
    );
  });
  return Object.fromEntries(told.map(({ key, column, form }) => [key, form.write(spec[column])]));
}
