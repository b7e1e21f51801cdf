import type { Field } from "./fields.ts";
import { channels } from "./forms/channels.ts";
import { choice, cost, flag, metadata, permissions, text } from "./forms/form.ts";
import { group } from "./forms/group.ts";
import { byteRate, byteSize, count, rate, time, total, totalRate } from "./forms/quantity.ts";

/** A kind of object that a file can declare: the one declaration that all else follows. */
export interface Kind {
  readonly kind: string;
  readonly says: string;
  readonly fields: readonly Field[];
  readonly children: readonly Child[];
}

/** Where in a file the objects of a kind are. */
export interface Child {
  readonly key: string;
  /** By their names, the one object, or a list whose items tell their names. */
  readonly holds: "map" | "one" | "list";
  readonly kind: Kind;
}

type Spec = Readonly<Record<string, unknown>>;

const isActive: Field = {
  key: "active",
  column: "is_active",
  form: flag,
  says: "Whether it is in use; true where absent.",
  usual: true,
};

const operations = group("a rate such as 500/s, or an object with limit", [
  { key: "limit", column: "iops_limit", form: rate, says: "Tokens a second, sustained." },
  {
    key: "burst",
    column: "iops_burst",
    form: rate,
    says: "Tokens a second while bursting; the limit where absent.",
    usual: (spec: Spec) => spec.iops_limit,
  },
  {
    key: "burst_for",
    column: "burst_duration_seconds",
    form: time,
    says: "How long a full bucket sustains the burst, or the length of a fixed window.",
  },
  {
    key: "refill",
    column: "refill_rate",
    form: rate,
    says: "Tokens that flow in each second; the limit where absent.",
    usual: (spec: Spec) => spec.iops_limit,
  },
  {
    key: "method",
    column: "calculation_method",
    form: choice("token_bucket", "leaky_bucket", "fixed_window"),
    says: "How the bucket refills; token_bucket where absent.",
    usual: "token_bucket",
  },
  {
    key: "min_reserve",
    column: "min_reserve",
    form: count,
    says: "Tokens that leases and lending never touch; none where absent.",
    usual: "0",
  },
]);

const bandwidth = group("a rate such as 100 MB/s, or an object with limit", [
  {
    key: "limit",
    column: "bandwidth_limit_bps",
    form: byteRate,
    says: "Bytes a second, sustained.",
  },
  {
    key: "burst",
    column: "bandwidth_burst_bps",
    form: byteRate,
    says: "Bytes a second while bursting; the limit where absent.",
    usual: (spec: Spec) => spec.bandwidth_limit_bps,
  },
  {
    key: "burst_for",
    column: "burst_duration_seconds",
    form: time,
    says: "How long a full bucket sustains the burst.",
  },
  {
    key: "refill",
    column: "refill_rate_bps",
    form: byteRate,
    says: "Bytes that flow in each second; the limit where absent.",
    usual: (spec: Spec) => spec.bandwidth_limit_bps,
  },
  {
    key: "oversize",
    column: "allow_oversize",
    form: flag,
    says: "Whether a full bucket admits what is larger than itself; true where absent.",
    usual: true,
  },
]);

function quotaKind(kind: string, says: string): Kind {
  const fields = [
    { key: "operations", column: "iops", form: operations, says: "The limit of operations." },
    { key: "bandwidth", column: "bandwidth", form: bandwidth, says: "The limit of bandwidth." },
  ];
  return { kind, says, fields, children: [] };
}

const ceilingOperations = group("a rate such as 500/s, or an object with limit", [
  { key: "limit", column: "max_limit", form: totalRate, says: "The most that limits come to." },
  {
    key: "burst",
    column: "max_burst",
    form: totalRate,
    says: "The most that bursts come to; the limit where absent.",
    usual: (spec: Spec) => spec.max_limit,
  },
  {
    key: "capacity",
    column: "max_capacity",
    form: total,
    says: "The most tokens that full buckets hold together.",
  },
]);

const ceilingBandwidth = group("a rate such as 100 MB/s, or an object with limit", [
  { key: "limit", column: "max_limit", form: byteRate, says: "The most that limits come to." },
  {
    key: "burst",
    column: "max_burst",
    form: byteRate,
    says: "The most that bursts come to; the limit where absent.",
    usual: (spec: Spec) => spec.max_limit,
  },
  {
    key: "capacity",
    column: "max_capacity",
    form: byteSize,
    says: "The most bytes that full buckets hold together.",
  },
]);

const ceiling: Kind = {
  kind: "ceiling",
  says: "The most that the quotas of a tenant's applications come to together, by cluster; * is all.",
  fields: [
    { key: "operations", column: "iops", form: ceilingOperations, says: "Of operations." },
    { key: "bandwidth", column: "bandwidth", form: ceilingBandwidth, says: "Of bandwidth." },
  ],
  children: [],
};

const reservation: Kind = {
  kind: "reservation",
  says: "What the application is guaranteed of its cluster.",
  fields: [
    { key: "operations", column: "reserved_iops", form: totalRate, says: "Tokens a second." },
    { key: "bandwidth", column: "reserved_bps", form: byteRate, says: "Bytes a second." },
    {
      key: "holds",
      column: "reservation_seconds",
      form: time,
      says: "For how long a full reserve lasts, 1 s to 60 s; 1 s where absent.",
      usual: "1",
    },
  ],
  children: [],
};

const costRule: Kind = {
  kind: "cost_rule",
  says: "What operations cost the application, by their names.",
  fields: [
    { key: "base", column: "c_base", form: cost, says: "Tokens for each operation." },
    { key: "per_unit", column: "c_bw", form: cost, says: "Tokens for each unit of its size." },
  ],
  children: [],
};

const alertFields: readonly Field[] = [
  {
    key: "for",
    column: "duration_seconds",
    form: time,
    says: "For how long it holds before it is told.",
    isRequired: true,
  },
  {
    key: "cooldown",
    column: "cooldown_seconds",
    form: time,
    says: "How long until it may be told again; 5 min where absent.",
    usual: "300",
  },
  {
    key: "notify",
    column: "channels",
    form: channels,
    says: "Who is told, besides webhooks and Slack, whose secrets no file has.",
    usual: [],
  },
  isActive,
];

const alert: Kind = {
  kind: "alert",
  says: "What to tell people of. An alert is known by its metric, comparison and severity.",
  fields: alertFields,
  children: [],
};

const defaultAlert: Kind = {
  kind: "default_alert",
  says: "Alerts that hold for every application, but those of tenants without default alerts.",
  fields: alertFields,
  children: [],
};

const application: Kind = {
  kind: "application",
  says: "Applications by their names.",
  fields: [
    { key: "cluster", column: "cluster", form: text, says: "The cluster that hosts it." },
    {
      key: "metadata",
      column: "metadata",
      form: metadata,
      says: "Whatever you want to keep beside it; no secrets.",
      usual: {},
    },
    {
      key: "auto_borrow",
      column: "auto_borrow",
      form: flag,
      says: "Whether it borrows by itself; false where absent.",
      usual: false,
    },
    isActive,
  ],
  children: [
    { key: "quota", holds: "one", kind: quotaKind("quota", "Its limits.") },
    { key: "reservation", holds: "one", kind: reservation },
    { key: "costs", holds: "map", kind: costRule },
    { key: "alerts", holds: "list", kind: alert },
  ],
};

const description: Field = {
  key: "description",
  column: "description",
  form: text,
  says: "What it is, for people.",
};

const tenant: Kind = {
  kind: "tenant",
  says: "Tenants by their names.",
  fields: [
    description,
    {
      key: "default_alerts",
      column: "has_default_alerts",
      form: flag,
      says: "Whether default alerts hold for its applications; true where absent.",
      usual: true,
    },
    isActive,
  ],
  children: [
    { key: "ceilings", holds: "map", kind: ceiling },
    { key: "applications", holds: "map", kind: application },
  ],
};

const cluster: Kind = {
  kind: "cluster",
  says: "Clusters by their names.",
  fields: [
    { key: "region", column: "region", form: text, says: "Where it is.", isRequired: true },
    { key: "endpoint", column: "endpoint", form: text, says: "Address of its storage service." },
    {
      key: "capacity",
      column: "max_capacity",
      form: totalRate,
      says: "What its hardware is rated for.",
      usual: "0",
    },
    {
      key: "health_check",
      column: "health_check_url",
      form: text,
      says: "What is asked every minute whether it is up: an address without a password.",
    },
    isActive,
  ],
  children: [
    { key: "quota", holds: "one", kind: quotaKind("cluster_quota", "The limits of the cluster.") },
    {
      key: "default_quota",
      holds: "one",
      kind: quotaKind("default_quota", "Limits of its applications that have none of their own."),
    },
  ],
};

const role: Kind = {
  kind: "role",
  says: "Roles of your own by their names; those of the system stay as they are.",
  fields: [
    description,
    {
      key: "permissions",
      column: "permissions",
      form: permissions,
      says: "What it allows.",
      isRequired: true,
    },
  ],
  children: [],
};

export const rootChildren: readonly Child[] = [
  { key: "roles", holds: "map", kind: role },
  { key: "clusters", holds: "map", kind: cluster },
  { key: "default_alerts", holds: "list", kind: defaultAlert },
  { key: "tenants", holds: "map", kind: tenant },
];
