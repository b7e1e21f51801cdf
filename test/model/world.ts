/** A world as the vector files describe it. The model reads it as it is. */

export type Method = "token_bucket" | "leaky_bucket" | "fixed_window";
export type Mode = "enforce" | "shadow";
export type Kind = "iops" | "bandwidth";
export type BucketType = "iops_l2" | "bandwidth_l2" | "iops_l1" | "bandwidth_l1";

export const MODES: readonly Mode[] = ["enforce", "shadow"];
export const KINDS: readonly Kind[] = ["iops", "bandwidth"];

/** The order in which a denial names the buckets that are short. */
export const BUCKET_TYPES: readonly BucketType[] = [
  "iops_l2",
  "bandwidth_l2",
  "iops_l1",
  "bandwidth_l1",
];

export interface Iops {
  iops_limit: number;
  iops_burst: number;
  burst_duration_seconds: number;
  /** Left out: the limit. */
  refill_rate?: number;
  calculation_method?: Method;
  min_reserve?: number;
  allow_oversize?: boolean;
}

export interface Bandwidth {
  bandwidth_limit_bps: number;
  bandwidth_burst_bps: number;
  burst_duration_seconds: number;
  refill_rate_bps?: number;
  min_reserve?: number;
  allow_oversize?: boolean;
}

export interface Quota {
  /** `app:NAME`, `cluster:NAME` or, for the default quota of a cluster, `default:CLUSTER` */
  owner: string;
  valid_from_us: number;
  valid_to_us: number | null;
  mode: Mode;
  is_active?: boolean;
  iops: Iops | null;
  bandwidth: Bandwidth | null;
}

export interface Reservation {
  app: string;
  iops: number | null;
  bandwidth_bps: number | null;
  seconds?: number;
}

export interface OperationType {
  name: string;
  c_base: string;
  unit_quantum: number;
  c_bw: string;
}

export interface CostRule {
  app: string;
  operation: string;
  c_base_override: string | null;
  c_bw_override: string | null;
  valid_from_us: number;
  valid_to_us: number | null;
}

export type Settings = Record<string, string | number | boolean>;

export interface World {
  epoch: string;
  /** Left out: one tenant owns all of them. */
  applications: { name: string; cluster: string | null; tenant?: string }[];
  quotas: Quota[];
  reservations?: Reservation[];
  cost_rules?: CostRule[];
  operation_types?: OperationType[];
  settings?: Settings;
}

export const DEFAULT_OPERATION_TYPES: readonly OperationType[] = [
  { name: "read_small", c_base: "1", unit_quantum: 4096, c_bw: "0.0001" },
  { name: "read_medium", c_base: "2", unit_quantum: 65536, c_bw: "0.0001" },
  { name: "read_large", c_base: "5", unit_quantum: 1048576, c_bw: "0.0001" },
  { name: "write_small", c_base: "2", unit_quantum: 4096, c_bw: "0.0002" },
  { name: "write_medium", c_base: "4", unit_quantum: 65536, c_bw: "0.0002" },
  { name: "write_large", c_base: "10", unit_quantum: 1048576, c_bw: "0.0002" },
  { name: "list", c_base: "3", unit_quantum: 1, c_bw: "0" },
  { name: "head", c_base: "1", unit_quantum: 1, c_bw: "0" },
  { name: "delete", c_base: "5", unit_quantum: 1, c_bw: "0" },
];

export function kindOf(type: BucketType): Kind {
  return type.startsWith("iops") ? "iops" : "bandwidth";
}

export function isLayer1(type: BucketType): boolean {
  return type.endsWith("_l1");
}

/** The epoch in microseconds since 1970. */
export function epochOf(world: Pick<World, "epoch">): bigint {
  const [, whole, fraction = ""] = /^(.*?)(?:\.(\d{1,6}))?Z$/.exec(world.epoch) ?? [];
  if (whole === undefined) throw new Error(`not a moment in UTC: ${world.epoch}`);
  return BigInt(Date.parse(`${whole}Z`)) * 1000n + BigInt(fraction.padEnd(6, "0"));
}
