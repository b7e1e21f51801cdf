import { Link } from "@tanstack/react-router";
import { sentence } from "../format/words.ts";
import { Badge, type Tone } from "../ui/badge.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import type { AlertSeverity } from "./overview.operations.ts";
import type { OpenAlert } from "./rates.ts";

export function OpenAlerts({ alerts }: { readonly alerts: readonly OpenAlert[] | undefined }) {
  return (
    <Card title="Open alerts" isFlush>
      <Alerts alerts={alerts} />
    </Card>
  );
}

function Alerts({ alerts }: { readonly alerts: readonly OpenAlert[] | undefined }) {
  if (alerts === undefined) return <Loading />;
  if (alerts.length === 0) {
    return (
      <Empty title="No alert is open">
        An alert opens when a metric of an application meets the condition of a rule.
      </Empty>
    );
  }
  return (
    <ul className="list">
      {alerts.map((alert) => (
        <li key={alert.historyId} className="list-item">
          <div className="grow">
            <Link to="/applications/$appId" params={{ appId: alert.appId }} className="strong">
              {alert.application?.name ?? "Application"}
            </Link>
            <p className="quiet small">
              {sentence(alert.alertConfig?.metricName ?? "")} ·{" "}
              <Moment at={alert.triggeredAt} isRelative />
            </p>
          </div>
          <Severity of={alert.alertConfig?.severity} />
        </li>
      ))}
    </ul>
  );
}

const tones = { INFO: "info", WARNING: "warn", CRITICAL: "bad" } as const satisfies Record<
  AlertSeverity,
  Tone
>;

export function Severity({ of }: { readonly of: AlertSeverity | undefined }) {
  if (of === undefined) return <Badge tone="neutral">unknown</Badge>;
  return <Badge tone={tones[of]}>{of.toLowerCase()}</Badge>;
}
