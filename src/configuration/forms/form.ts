/** How a value is written in a file, and what the database has for it. */
export interface Form {
  /** What the JSON schema says of it; `title` completes "is not …" in errors. */
  readonly schema: Readonly<Record<string, unknown>> & { readonly title: string };
  /** What the database takes for a value that fits the schema; undefined where it still is none. */
  read(value: unknown): unknown;
  /** As people write what the database has. */
  write(value: unknown): unknown;
}

const same = { read: (value: unknown) => value, write: (value: unknown) => value };

export const text: Form = {
  ...same,
  schema: {
    title: "a text of 1 to 500 characters",
    type: "string",
    minLength: 1,
    maxLength: 500,
    pattern: "^[^\\u0000]*$",
  },
};

export const flag: Form = { ...same, schema: { title: "true or false", type: "boolean" } };

export const metadata: Form = {
  ...same,
  schema: { title: "an object of your own", type: "object" },
};

export function choice(...values: readonly string[]): Form {
  return { ...same, schema: { title: `one of ${values.join(", ")}`, enum: values } };
}

export const permissions: Form = {
  ...same,
  schema: {
    title: "a list of permissions such as quota:read, each once",
    type: "array",
    uniqueItems: true,
    items: { title: "a permission such as quota:read", type: "string", pattern: "^[a-z]+:[a-z]+$" },
  },
};

/** Tokens that an operation costs: decimals with four digits, which floats would round. */
export const cost: Form = {
  schema: {
    title: "a number of tokens from 0, with four decimals at most",
    type: ["number", "string"],
    minimum: 0,
    pattern: "^\\d{1,6}(\\.\\d{1,4})?$",
  },
  read(value) {
    const digits = String(value);
    return /^\d{1,6}(\.\d{1,4})?$/.test(digits) ? trimmed(digits) : undefined;
  },
  write: (value) => Number(value),
};

function trimmed(digits: string): string {
  return digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
}
