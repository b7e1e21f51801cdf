import type { Condition } from "./conditions.ts";
import type {
  AlertChannelInput,
  AlertRulesQuery,
  AlertSeverity,
  CreateAlertConfigInput,
} from "./rules.operations.ts";

export type Rule = NonNullable<NonNullable<AlertRulesQuery["alertConfigs"]>["nodes"][number]>;

/** A rule as it is typed. */
export interface RuleDraft {
  readonly metricName: string;
  readonly condition: Condition;
  readonly threshold: string;
  readonly durationSeconds: string;
  readonly cooldownSeconds: string;
  readonly severity: AlertSeverity;
  /** The channel it is sent through; keep leaves what is there, which is not told. */
  readonly channel: "keep" | "none" | "log" | "webhook" | "slack" | "email";
  readonly target: string;
  readonly secret: string;
}

/** What the system writes of each application by itself. */
export const systemMetrics = [
  ["qos_denied_operations", "Operations denied, a minute"],
  ["qos_denied_share", "Share of what was asked for that was denied, in percent"],
  ["qos_admitted_operations", "Operations admitted, a minute"],
  ["qos_admitted_tokens", "Tokens admitted, a minute"],
  ["qos_admitted_bytes", "Bytes admitted, a minute"],
  ["qos_bucket_fill_iops", "How full the bucket of operations is, in percent"],
  ["qos_bucket_fill_bandwidth", "How full the bucket of bandwidth is, in percent"],
  ["qos_borrowed_tokens", "Tokens borrowed, a minute"],
  ["qos_cluster_health", "Health of its cluster: 1, 0.5 or 0"],
] as const;

export const severities = ["INFO", "WARNING", "CRITICAL"] as const;

export function draftOf(rule: Rule | undefined): RuleDraft {
  return {
    metricName: rule?.metricName ?? systemMetrics[0][0],
    condition: (rule?.condition ?? "GREATER_THAN") as Condition,
    threshold: rule === undefined ? "" : String(rule.thresholdValue),
    durationSeconds: String(rule?.durationSeconds ?? 60),
    cooldownSeconds: String(rule?.cooldownSeconds ?? 300),
    severity: rule?.severity ?? "WARNING",
    ...{ channel: rule === undefined ? "none" : "keep", target: "", secret: "" },
  };
}

type Limits = Omit<
  CreateAlertConfigInput,
  "appId" | "clientMutationId" | "cooldownSeconds" | "channels"
> & {
  readonly cooldownSeconds: number;
};

export function conditionOf(draft: RuleDraft): Limits {
  return {
    ...{ metricName: draft.metricName, condition: draft.condition, severity: draft.severity },
    thresholdValue: Number(draft.threshold),
    durationSeconds: Number(draft.durationSeconds),
    cooldownSeconds: Number(draft.cooldownSeconds),
  };
}

/** Where it is told from now on; undefined where what is there stays. */
export function channelsOf({
  channel,
  target,
  secret,
}: RuleDraft): AlertChannelInput[] | undefined {
  switch (channel) {
    case "keep":
      return undefined;
    case "none":
      return [];
    case "log":
      return [{ channel: "LOG" }];
    case "email":
      return [{ channel: "EMAIL", to: target.split(/[\s,]+/).filter(Boolean) }];
    case "slack":
      return [{ channel: "SLACK", url: target }];
    case "webhook":
      return [{ channel: "WEBHOOK", url: target, ...(secret && { secret }) }];
  }
}
