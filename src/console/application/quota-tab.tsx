import { useState } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { present } from "../overview/rates.ts";
import { useMay } from "../session/viewer.tsx";
import { ActionDialog } from "../ui/action.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { TextField } from "../ui/field.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { useTell } from "../ui/toasts.tsx";
import {
  CancelQuotaDocument,
  QuotasDocument,
  RollbackQuotaDocument,
} from "./application.operations.ts";
import { Limits } from "./limits.tsx";
import { QuotaForm } from "./quota-form.tsx";
import { type Quota, stateOf, type Version } from "./quotas.ts";
import { Timeline } from "./timeline.tsx";
import { Versions } from "./versions.tsx";

type Step =
  | { readonly is: "publish" }
  | { readonly is: "cancel"; readonly quota: Quota }
  | { readonly is: "rollback"; readonly version: Version };

interface Props {
  readonly appId: string;
  readonly name: string;
}

export function QuotaTab({ appId, name }: Props) {
  const mayChange = useMay("quota:update");
  const [{ data, error }, again] = useQuery({ query: QuotasDocument, variables: { appId } });
  const [step, setStep] = useState<Step>();
  const problem = problemOfAnswer(error);
  if (problem) return <ProblemNote problem={problem} />;
  if (!data) return <Loading />;

  const quotas = present(data.application?.quotas.nodes);
  const versions = present(data.quotaVersions?.nodes);
  const inForce = quotas.find((quota) => stateOf(quota) === "in force" && quota.mode === "ENFORCE");
  const close = () => setStep(undefined);
  const done = () => {
    close();
    again({ requestPolicy: "network-only" });
  };
  const change = mayChange && (
    <Button kind="primary" isSmall onClick={() => setStep({ is: "publish" })}>
      {inForce ? "Change the quota" : "Publish a quota"}
    </Button>
  );

  return (
    <div className="stack">
      <Card title="In force" about={inForce && <Since quota={inForce} />} actions={change}>
        {inForce ? <InForce quota={inForce} /> : <NoQuota />}
      </Card>
      {quotas.length > 0 && (
        <Card title="Timeline" about="What was, is and will be in force">
          <Timeline
            quotas={quotas}
            onCancel={mayChange ? (quota) => setStep({ is: "cancel", quota }) : undefined}
          />
        </Card>
      )}
      {versions.length > 0 && (
        <Versions
          versions={versions}
          inForce={inForce?.configId}
          onRollback={mayChange ? (version) => setStep({ is: "rollback", version }) : undefined}
        />
      )}
      {step && <StepDialog {...{ step, appId, name, inForce }} onClose={close} onDone={done} />}
    </div>
  );
}

function Since({ quota }: { readonly quota: Quota }) {
  return (
    <>
      Since <Moment at={quota.validFrom} />
      {quota.validTo && (
        <>
          , until <Moment at={quota.validTo} />
        </>
      )}
    </>
  );
}

function InForce({ quota }: { readonly quota: Quota }) {
  return (
    <div className="stack">
      <Limits quota={quota} />
      {(quota.warnings ?? []).map((warning) => (
        <p key={warning} className="note note-warn">
          {warning}
        </p>
      ))}
    </div>
  );
}

function NoQuota() {
  return (
    <Empty title="This application has no quota of its own">
      The default of its cluster counts, where there is one. A quota limits how many tokens and
      bytes a second the application may take, and how far it may burst.
    </Empty>
  );
}

interface StepProps extends Props, DialogProps {
  readonly step: Step;
  readonly inForce: Quota | undefined;
}

function StepDialog({ step, appId, inForce, ...rest }: StepProps) {
  if (step.is === "publish") return <QuotaForm {...{ appId, inForce }} {...rest} />;
  if (step.is === "cancel") return <CancelDialog quota={step.quota} {...rest} />;
  return <RollbackDialog version={step.version} {...rest} />;
}

interface DialogProps {
  readonly name: string;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

function CancelDialog({ quota, name, onClose, onDone }: DialogProps & { readonly quota: Quota }) {
  const tell = useTell();
  return (
    <ActionDialog
      title="Cancel the scheduled quota"
      about={
        <>
          The quota of {name} that would be in force from <Moment at={quota.validFrom} /> is not
          going to be.
        </>
      }
      verb="Cancel the quota"
      kind="danger"
      document={CancelQuotaDocument}
      variables={({ reason = "" }) => ({ input: { configId: quota.configId, reason } })}
      onClose={onClose}
      onDone={() => {
        tell("Scheduled quota cancelled");
        onDone();
      }}
    >
      <TextField label="Reason" name="reason" required autoComplete="off" />
    </ActionDialog>
  );
}

function RollbackDialog({
  version,
  name,
  onClose,
  onDone,
}: DialogProps & { readonly version: Version }) {
  const tell = useTell();
  return (
    <ActionDialog
      title="Roll back"
      about={
        <>
          Brings the limits of <Moment at={version.changedAt} /> back: {name} is limited by them
          from now on.
        </>
      }
      verb="Roll back"
      document={RollbackQuotaDocument}
      variables={({ reason = "" }) => ({ input: { versionId: version.versionId, reason } })}
      onClose={onClose}
      onDone={() => {
        tell("Rolled back", `${name} has its earlier limits again`);
        onDone();
      }}
    >
      <TextField label="Reason" name="reason" required autoComplete="off" />
    </ActionDialog>
  );
}
