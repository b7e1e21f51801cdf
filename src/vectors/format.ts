import type { JSONSchemaType } from "ajv";

/** A vector file as far as the runner looks into it; the database reads the world itself. */
export interface VectorFile {
  readonly epoch: string;
  readonly applications: readonly { readonly name: string; readonly cluster?: string | null }[];
  readonly steps: readonly Step[];
  readonly expect?: readonly Answer[];
}

export interface Step {
  readonly at_us: number;
  readonly call: string;
  readonly [argument: string]: unknown;
}

export type Answer = Readonly<Record<string, unknown>>;

const offset = { type: "integer", minimum: -9e15, maximum: 9e15 } as const;
const openEnd = { anyOf: [offset, { type: "null" }] } as const;
const name = { type: "string", minLength: 1 } as const;
const amount = { type: ["string", "number"], pattern: "^-?\\d+(\\.\\d{1,6})?$" } as const;
/** JavaScript reads larger numbers as their neighbours: those are read as text. */
const largest = Number.MAX_SAFE_INTEGER;
const size = {
  type: ["integer", "string", "null"],
  pattern: "^-?\\d{1,19}$",
  minimum: -largest,
  maximum: largest,
} as const;
const seconds = { type: "number" } as const;

function listOf(properties: object, required: readonly string[]): object {
  return { type: "array", items: { type: "object", properties, required } };
}

/** A default quota of a cluster is not in the golden files: property tests have it. */
const quota = {
  owner: { type: "string", pattern: "^(app|cluster|default):." },
  valid_from_us: offset,
  valid_to_us: openEnd,
  mode: { enum: ["enforce", "shadow"] },
  iops: { type: ["object", "null"] },
  bandwidth: { type: ["object", "null"] },
};

const rate = { type: ["integer", "null"], minimum: 1, maximum: largest } as const;

const reservation = {
  app: name,
  iops: rate,
  bandwidth_bps: rate,
  seconds: { type: "integer", minimum: 1, maximum: 60 },
};

const costRule = {
  app: name,
  operation: name,
  valid_from_us: offset,
  valid_to_us: openEnd,
};

/** The arguments of each call. */
const calls: Readonly<Record<string, { properties: object; required: readonly string[] }>> = {
  consume: {
    properties: { app: name, operation: name, size, reference_id: { type: ["string", "null"] } },
    required: ["app", "operation"],
  },
  refund: { properties: { reference_id: name, app: name }, required: ["reference_id"] },
  settle: {
    properties: { reference_id: name, app: name, actual_size: size },
    required: ["reference_id", "actual_size"],
  },
  lease: {
    properties: { app: name, id: name, tokens: amount, bytes: amount, duration_seconds: seconds },
    required: ["app", "id"],
  },
  settle_lease: {
    properties: {
      id: name,
      spent_tokens: amount,
      spent_bytes: amount,
      owed_tokens: amount,
      owed_bytes: amount,
    },
    required: ["id"],
  },
  borrow: {
    properties: {
      app: name,
      id: name,
      kind: { enum: ["iops_l2", "bandwidth_l2", "iops_l1", "bandwidth_l1"] },
      tokens: amount,
      lender: { type: ["string", "null"], pattern: "^(app|cluster):." },
      duration_seconds: seconds,
    },
    required: ["app", "id", "kind", "tokens", "duration_seconds"],
  },
  repay: { properties: { id: name }, required: ["id"] },
};

export const vectorSchema = {
  type: "object",
  properties: {
    epoch: {
      type: "string",
      pattern: "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,6})?Z$",
    },
    applications: listOf({ name, cluster: { type: ["string", "null"] }, tenant: name }, ["name"]),
    quotas: listOf(quota, ["owner", "valid_from_us"]),
    reservations: listOf(reservation, ["app"]),
    cost_rules: listOf(costRule, ["app", "operation", "valid_from_us"]),
    operation_types: listOf({ name }, ["name"]),
    settings: { type: "object" },
    steps: {
      type: "array",
      items: {
        type: "object",
        properties: { at_us: offset, call: { enum: Object.keys(calls) } },
        required: ["at_us", "call"],
        allOf: Object.entries(calls).map(([call, schema]) => ({
          if: { properties: { call: { const: call } } },
          // biome-ignore lint/suspicious/noThenProperty: JSON Schema's own word.
          then: schema,
        })),
      },
    },
    expect: { type: "array", items: { type: "object" } },
  },
  required: ["epoch", "applications", "steps"],
} as unknown as JSONSchemaType<VectorFile>;
