import type { Channel } from "./notification-config.ts";

export type AlertEvent = "triggered" | "acknowledged" | "resolved";

/** What SQL answers about an occurrence (add_alert_notifications): the body of a webhook, as it is. */
export interface NotificationContent {
  readonly alert: {
    readonly id: string;
    readonly metric: string;
    readonly condition: string;
    readonly threshold: number;
    readonly duration_seconds: number;
    readonly severity: "info" | "warning" | "critical";
  };
  readonly application: { readonly id: string; readonly name: string };
  readonly occurrence: string;
  readonly value: number;
  readonly description: string | null;
  readonly triggered_at: string;
  readonly acknowledged_at: string | null;
  readonly resolved_at: string | null;
}

export interface Notification {
  readonly id: string;
  readonly event: AlertEvent;
  /** Null where the alert has no such channel any more. */
  readonly channel: Channel | null;
  readonly content: NotificationContent;
}

/** One line for people. */
export function headline({ event, content }: Notification): string {
  const { alert, application, value } = content;
  const what = `${alert.metric} ${alert.condition} ${alert.threshold}`;
  return `[${alert.severity}] ${event}: ${what} for ${application.name} (now ${value})`;
}
