import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { short } from "../format/amount.ts";
import { sentence } from "../format/words.ts";
import { useLive } from "../live/use-live.ts";
import { Severity } from "../overview/open-alerts.tsx";
import { present } from "../overview/rates.ts";
import { useMay } from "../session/viewer.tsx";
import { useAction } from "../ui/action.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { CheckField } from "../ui/field.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { useTell } from "../ui/toasts.tsx";
import {
  AcknowledgeAlertDocument,
  AlertChangedDocument,
  type AlertStatus,
  AlertsDocument,
  type AlertsQuery,
} from "./alerts.operations.ts";
import { conditions } from "./conditions.ts";
import { Rules } from "./rules.tsx";
import { Undelivered } from "./undelivered.tsx";

type Alert = NonNullable<NonNullable<AlertsQuery["alerts"]>["nodes"][number]>;

const open: AlertStatus[] = ["TRIGGERED", "ACKNOWLEDGED"];
const every: AlertStatus[] = [...open, "RESOLVED"];

export default function AlertsPage() {
  const { status } = useSearch({ from: "/alerts" });
  const navigate = useNavigate({ from: "/alerts" });
  const isAll = status === "all";
  const [{ data, error }, again] = useQuery({
    ...{ query: AlertsDocument, variables: { statuses: isAll ? every : open } },
  });
  useLive(AlertChangedDocument, {}, () => again({ requestPolicy: "network-only" }));
  const problem = problemOfAnswer(error);
  return (
    <Page
      title="Alerts"
      about="Conditions that metrics of applications meet."
      actions={
        <CheckField
          label="Resolved ones, too"
          checked={isAll}
          onChange={({ target }) =>
            navigate({ search: { status: target.checked ? "all" : undefined }, replace: true })
          }
        />
      }
    >
      <Card title={isAll ? "All alerts" : "Open alerts"} isFlush>
        {problem && <ProblemNote problem={problem} />}
        {data ? <List alerts={present(data.alerts?.nodes)} /> : !problem && <Loading />}
      </Card>
      <Undelivered />
      <Rules />
    </Page>
  );
}

function List({ alerts }: { readonly alerts: readonly Alert[] }) {
  if (alerts.length === 0) {
    return (
      <Empty title="No alert is open">
        What meets one of the rules below appears here, and is sent where the rule says.
      </Empty>
    );
  }
  return (
    <ul className="list">
      {alerts.map((alert) => (
        <AlertItem key={alert.historyId} alert={alert} />
      ))}
    </ul>
  );
}

function AlertItem({ alert }: { readonly alert: Alert }) {
  const { alertConfig: rule, application, appId } = alert;
  return (
    <li className="list-item">
      <Severity of={rule?.severity} />
      <div className="grow">
        <p>
          <Link to="/applications/$appId" params={{ appId }} className="strong">
            {application?.name ?? "Application"}
          </Link>{" "}
          {sentence(rule?.metricName ?? "").toLowerCase()} was {short(alert.actualValue)},{" "}
          {conditions.find(([sign]) => sign === rule?.condition)?.[1]} {short(alert.thresholdValue)}{" "}
          {rule?.appId === null && <Badge>default</Badge>}
        </p>
        <p className="quiet small">
          <Moment at={alert.triggeredAt} isRelative />
          {alert.description && ` · ${alert.description}`}
        </p>
      </div>
      <Standing alert={alert} />
    </li>
  );
}

function Standing({ alert }: { readonly alert: Alert }) {
  const mayUpdate = useMay("application:update");
  const mayMonitor = useMay("system:monitor");
  if (alert.status === "RESOLVED") return <Badge tone="good">resolved</Badge>;
  if (alert.status === "ACKNOWLEDGED") return <Badge tone="info">acknowledged</Badge>;
  return mayUpdate || mayMonitor ? (
    <Acknowledge alert={alert} />
  ) : (
    <Badge tone="warn">triggered</Badge>
  );
}

function Acknowledge({ alert }: { readonly alert: Alert }) {
  const { act, isBusy, problem } = useAction(AcknowledgeAlertDocument);
  const [isDone, setDone] = useState(false);
  const tell = useTell();
  const name = alert.application?.name ?? "the application";

  async function acknowledge() {
    const done = await act({ input: { historyId: alert.historyId } });
    if (done === undefined) return;
    setDone(true);
    tell("Alert acknowledged", `That of ${name} is yours to look after`);
  }

  return (
    <span className="row">
      {problem && <span className="bad small">{problem.message}</span>}
      <Button
        isSmall
        isBusy={isBusy || isDone}
        onClick={acknowledge}
        aria-label={`Acknowledge the alert of ${name}`}
      >
        Acknowledge
      </Button>
    </span>
  );
}
