import { readFileSync } from "node:fs";
import { Ajv } from "ajv";
import { InputError } from "../user-error.ts";
import { parseBandwidth, parseIops, type QuotaNumbers } from "./quota-options.ts";

/** Quotas of one application, instead of those that the options give to all. */
export interface OwnQuotas {
  readonly iops: QuotaNumbers | null;
  readonly bandwidth: QuotaNumbers | null;
}

/** What an operation costs, instead of the price list. */
export interface OperationCost {
  readonly c_base: number;
  readonly unit_quantum: number;
  readonly c_bw: number;
}

interface Written {
  readonly iops?: string;
  readonly bandwidth?: string;
}

const quota = { type: "string", pattern: "^[^:]+:[^:]+:[^:]+$" };
const quotasSchema = {
  type: "object",
  additionalProperties: {
    ...{ type: "object", additionalProperties: false },
    properties: { iops: quota, bandwidth: quota },
  },
};
const costsSchema = {
  type: "object",
  additionalProperties: {
    ...{ type: "object", additionalProperties: false },
    required: ["c_base", "unit_quantum", "c_bw"],
    properties: {
      c_base: { type: "number", minimum: 0 },
      unit_quantum: { type: "integer", minimum: 1 },
      c_bw: { type: "number", minimum: 0 },
    },
  },
};

/** `{"alice": {"iops": "100:400:5", "bandwidth": "1MB:4MB:10"}}` */
export function readQuotas(path: string): ReadonlyMap<string, OwnQuotas> {
  const written = readJson<Readonly<Record<string, Written>>>(path, quotasSchema);
  return new Map(
    Object.entries(written).map(([name, { iops, bandwidth }]) => [
      name,
      {
        iops: iops === undefined ? null : parseIops(iops, `iops of ${name}`),
        bandwidth:
          bandwidth === undefined ? null : parseBandwidth(bandwidth, `bandwidth of ${name}`),
      },
    ]),
  );
}

/** `{"read_large": {"c_base": 1, "unit_quantum": 65536, "c_bw": 0.5}}` */
export function readCosts(path: string): Readonly<Record<string, OperationCost>> {
  return readJson(path, costsSchema);
}

function readJson<T>(path: string, schema: object): T {
  const value = parsed(path);
  const ajv = new Ajv({ allErrors: true, strict: true });
  if (ajv.validate(schema, value)) return value as T;
  throw new InputError(
    "file_invalid",
    `${path}: ${ajv.errorsText(ajv.errors, { dataVar: "it" })}`,
    "See npx storage-qos replay --help for what it looks like.",
  );
}

function parsed(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new InputError(
      "file_invalid",
      `${path} cannot be read as JSON: ${(cause as Error).message}`,
      "See npx storage-qos replay --help for what it looks like.",
      { cause },
    );
  }
}
