import { type Field, fieldsSchema, type ObjectSchema } from "./fields.ts";
import { choice } from "./forms/form.ts";
import { type Child, type Kind, rootChildren } from "./kinds.ts";

/** Without control characters, and not blank. */
const names = { minLength: 1, maxLength: 255, pattern: "^(?=.*\\S)[^\\u0000-\\u001f]+$" };

/** `metric comparison threshold` of an alert; not led by the comparison, which YAML would take. */
export const conditionPattern =
  "^([A-Za-z_][\\w.:-]*) (>=|<=|!=|>|<|=) (-?\\d+(?:\\.\\d+)?(?:[eE][+-]?\\d+)?)$";

export const alertNames: readonly Field[] = [
  {
    key: "when",
    column: "when",
    form: {
      schema: {
        title: "a metric, a comparison and a number, such as qos_denied > 100",
        type: "string",
        pattern: conditionPattern,
      },
      read: (value) => value,
      write: (value) => value,
    },
    says: "What to watch for: a metric, > < >= <= = or !=, and a number.",
    isRequired: true,
  },
  {
    key: "severity",
    column: "severity",
    form: choice("info", "warning", "critical"),
    says: "How bad it is.",
    isRequired: true,
  },
];

/** What docs/qos.schema.json is: editors complete by it, and apply checks by it. */
export function configurationSchema(): object {
  const managedBy = {
    title: "a name of 1 to 100 characters",
    type: "string",
    minLength: 1,
    maxLength: 100,
    pattern: "\\S",
    description: "The name of this configuration: it prunes only what it manages itself.",
  };
  const root = withChildren(fieldsSchema([]), rootChildren);
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "a configuration of storage-qos",
    ...root,
    type: ["object", "null"],
    properties: { managed_by: managedBy, ...root.properties },
  };
}

function withChildren(schema: ObjectSchema, children: readonly Child[]): ObjectSchema {
  const properties = Object.fromEntries(children.map((child) => [child.key, childSchema(child)]));
  return { ...schema, properties: { ...schema.properties, ...properties } };
}

function childSchema({ holds, kind, key }: Child): object {
  const described = { description: kind.says };
  if (holds === "one") return { ...kindSchema(kind), ...described };
  if (holds === "list") {
    const fields = [...alertNames, ...kind.fields];
    const items = { title: "an object", ...fieldsSchema(fields) };
    return { title: `a list of ${key}`, type: ["array", "null"], items, ...described };
  }
  return {
    title: `an object of ${key} by their names`,
    type: ["object", "null"],
    propertyNames: names,
    additionalProperties: kindSchema(kind),
    ...described,
  };
}

function kindSchema({ fields, children }: Kind): object {
  const declared = withChildren(fieldsSchema(fields), children);
  const title = "an object";
  if (children.length === 0) return { title, ...declared, type: ["object", "null"] };
  const placed = withChildren(fieldsSchema([]), children);
  const existing = {
    const: true,
    title: "true",
    description: "It is not of this configuration: only what is in it here is.",
  };
  return {
    title,
    type: ["object", "null"],
    if: { type: "object", required: ["existing"] },
    // biome-ignore lint/suspicious/noThenProperty: JSON schema has this key.
    then: { ...placed, properties: { existing, ...placed.properties } },
    else: { title, ...declared, type: ["object", "null"] },
  };
}
