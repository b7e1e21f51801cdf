import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { short } from "../format/amount.ts";
import { duration } from "../format/time.ts";
import { sentence } from "../format/words.ts";
import { Severity } from "../overview/open-alerts.tsx";
import { present } from "../overview/rates.ts";
import { useMay } from "../session/viewer.tsx";
import { ActionDialog } from "../ui/action.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { Table } from "../ui/table.tsx";
import { useTell } from "../ui/toasts.tsx";
import { conditions } from "./conditions.ts";
import type { Rule } from "./rule-draft.ts";
import { RuleForm } from "./rule-form.tsx";
import {
  AlertRulesDocument,
  AlertRulesOfApplicationDocument,
  DeleteAlertRuleDocument,
} from "./rules.operations.ts";

type Step =
  | { readonly is: "create" }
  | { readonly is: "change"; readonly rule: Rule }
  | { readonly is: "delete"; readonly rule: Rule };

interface Props {
  /** Whose rules; those of all applications where it is absent. */
  readonly app?: { readonly appId: string; readonly name: string };
}

/** What is watched for. */
export function Rules({ app }: Props) {
  const mayUpdate = useMay("application:update");
  const mayMonitor = useMay("system:monitor");
  const mayChange = mayUpdate || mayMonitor;
  const mayConfigure = useMay("system:configure");
  const [{ data, error }, again] = useRules(app?.appId);
  const [step, setStep] = useState<Step>();
  const problem = problemOfAnswer(error);
  const close = () => setStep(undefined);
  const done = () => {
    close();
    again({ requestPolicy: "network-only" });
  };
  return (
    <Card
      title="Rules"
      about="A metric of an application, a condition, and for how long it has to hold"
      actions={
        app &&
        mayChange && (
          <Button isSmall kind="primary" onClick={() => setStep({ is: "create" })}>
            Make an alert
          </Button>
        )
      }
      isFlush
    >
      {problem && <ProblemNote problem={problem} />}
      {data ? (
        <RuleTable
          rules={present(data.alertConfigs?.nodes)}
          hasNames={app === undefined}
          onStep={mayChange ? setStep : undefined}
          mayChangeDefaults={mayConfigure}
        />
      ) : (
        !problem && <Loading />
      )}
      {step && <StepDialog {...{ step, app }} onClose={close} onDone={done} />}
    </Card>
  );
}

function useRules(appId: string | undefined) {
  const requestPolicy = "cache-and-network";
  const ofAll = useQuery({ query: AlertRulesDocument, requestPolicy, pause: appId !== undefined });
  const ofOne = useQuery({
    ...{ query: AlertRulesOfApplicationDocument, requestPolicy, pause: appId === undefined },
    variables: { appId: appId ?? "" },
  });
  return appId === undefined ? ofAll : ofOne;
}

interface TableProps {
  readonly rules: readonly Rule[];
  readonly hasNames: boolean;
  readonly onStep: ((step: Step) => void) | undefined;
  readonly mayChangeDefaults: boolean;
}

function RuleTable({ rules, hasNames, onStep, mayChangeDefaults }: TableProps) {
  if (rules.length === 0) {
    return (
      <Empty title="Nothing is watched for">
        Make an alert on the page of an application, under Alerts: such as on the operations that
        are denied a minute.
      </Empty>
    );
  }
  return (
    <Table
      columns={[...(hasNames ? ["Application"] : []), "Triggers when", "Severity"]}
      hasActions={onStep !== undefined}
    >
      {rules.map((rule) => (
        <tr key={rule.alertId}>
          {hasNames && (
            <th scope="row">
              <Watched rule={rule} />
            </th>
          )}
          <td className="wraps">
            {wordsOf(rule)} {!rule.isActive && <Badge>off</Badge>}
          </td>
          <td>
            <Severity of={rule.severity} />
          </td>
          {onStep && (rule.appId === null ? mayChangeDefaults : true) && (
            <td className="right">
              <span className="row row-end">
                <Button
                  isSmall
                  onClick={() => onStep({ is: "change", rule })}
                  aria-label={`Change the alert on ${wordsOf(rule)}`}
                >
                  Change
                </Button>
                <Button
                  isSmall
                  kind="quiet"
                  onClick={() => onStep({ is: "delete", rule })}
                  aria-label={`Delete the alert on ${wordsOf(rule)}`}
                >
                  Delete
                </Button>
              </span>
            </td>
          )}
        </tr>
      ))}
    </Table>
  );
}

function Watched({ rule: { appId, application } }: { readonly rule: Rule }) {
  if (appId === null) {
    return (
      <>
        every application <Badge tone="info">default</Badge>
      </>
    );
  }
  return (
    <Link to="/applications/$appId" params={{ appId }} search={{ tab: "alerts" }}>
      {application?.name}
    </Link>
  );
}

function wordsOf({ metricName, condition, thresholdValue, durationSeconds }: Rule): string {
  const metric = sentence(metricName.replace(/^qos_/, ""));
  const is = conditions.find(([sign]) => sign === condition)?.[1] ?? condition;
  return `${metric} is ${is} ${short(thresholdValue)} for ${duration(durationSeconds)}`;
}

interface StepProps extends Props {
  readonly step: Step;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

function StepDialog({ step, app, onClose, onDone }: StepProps) {
  const tell = useTell();
  if (step.is === "create") return app && <RuleForm {...app} onClose={onClose} onDone={onDone} />;
  const { rule } = step;
  const name =
    rule.appId === null
      ? "every application"
      : (rule.application?.name ?? app?.name ?? "the application");
  if (step.is === "change") {
    return <RuleForm {...{ appId: rule.appId, name, rule }} onClose={onClose} onDone={onDone} />;
  }
  return (
    <ActionDialog
      title="Delete the alert"
      about={`${name} stops being watched for: ${wordsOf(rule)}. What it triggered so far goes with it.`}
      verb="Delete the alert"
      kind="danger"
      document={DeleteAlertRuleDocument}
      variables={() => ({ input: { alertId: rule.alertId } })}
      onClose={onClose}
      onDone={() => {
        tell("Alert deleted", name);
        onDone();
      }}
    />
  );
}
