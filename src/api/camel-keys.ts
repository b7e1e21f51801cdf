/** A name of the database as one of the API. */
export const camel = (name: string) =>
  name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());

/** A document whose keys are camelCase, down to a depth: what is deeper has names of users. */
export function camelKeys(value: unknown, depth: number): unknown {
  if (depth === 0 || value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((item) => camelKeys(item, depth));
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [camel(key), camelKeys(inner, depth - 1)]),
  );
}
