import { useState } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { present } from "../overview/rates.ts";
import { useMay } from "../session/viewer.tsx";
import { ActionDialog } from "../ui/action.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { ChoiceField, TextField } from "../ui/field.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { SecretDialog } from "../ui/secret-dialog.tsx";
import { Table } from "../ui/table.tsx";
import { useTell } from "../ui/toasts.tsx";
import {
  CreateKeyDocument,
  KeysDocument,
  type KeysQuery,
  RegisterKeyDocument,
  RevokeKeyDocument,
  RotateKeyDocument,
} from "./application.operations.ts";

type Key = NonNullable<NonNullable<KeysQuery["apiKeys"]>["nodes"][number]>;
type Step =
  | { readonly is: "create" }
  | { readonly is: "register" }
  | { readonly is: "rotate" | "revoke"; readonly key: Key };

interface Props {
  readonly appId: string;
  readonly name: string;
}

export function KeysTab({ appId, name }: Props) {
  const mayChange = useMay("application:update");
  const maySeeAll = useMay("system:configure");
  const [{ data, error }, again] = useQuery({
    ...{ query: KeysDocument, variables: { appId }, requestPolicy: "cache-and-network" },
  });
  const [step, setStep] = useState<Step>();
  const [secret, setSecret] = useState<string>();
  const problem = problemOfAnswer(error);

  function done(made?: string | null): void {
    setStep(undefined);
    if (made) setSecret(made);
    again({ requestPolicy: "network-only" });
  }

  const actions = mayChange && (
    <>
      {maySeeAll && (
        <Button isSmall onClick={() => setStep({ is: "register" })}>
          Register an S3 id
        </Button>
      )}
      <Button isSmall kind="primary" onClick={() => setStep({ is: "create" })}>
        Create a key
      </Button>
    </>
  );
  return (
    <>
      <Card
        title="Keys"
        about="Callers name the application by a key. A key is shown once, when it is made."
        actions={actions}
        isFlush
      >
        {problem && <ProblemNote problem={problem} />}
        {data ? (
          <KeyTable keys={present(data.apiKeys?.nodes)} onStep={mayChange ? setStep : undefined} />
        ) : (
          !problem && <Loading />
        )}
      </Card>
      {step && (
        <StepDialog {...{ step, appId, name }} onClose={() => setStep(undefined)} onDone={done} />
      )}
      {secret && (
        <SecretDialog
          {...{ title: "The new key", secret, copied: "Key copied" }}
          onClose={() => setSecret(undefined)}
        />
      )}
    </>
  );
}

interface TableProps {
  readonly keys: readonly Key[];
  readonly onStep: ((step: Step) => void) | undefined;
}

function KeyTable({ keys, onStep }: TableProps) {
  if (keys.length === 0) {
    return (
      <Empty title="This application has no key">
        Create one for a service or a gateway that decides for the application, or let the gateway
        know it by an access key id of the storage.
      </Empty>
    );
  }
  return (
    <Table columns={["Key", "State", "Made", "Works until"]} hasActions={onStep !== undefined}>
      {keys.map((key) => (
        <tr key={key.apiKeyId}>
          <th scope="row">
            <span className="strong">{key.name ?? "unnamed"}</span>{" "}
            <code className="quiet">{key.prefix}…</code>
          </th>
          <td>
            <KeyState of={key} />
          </td>
          <td>{key.createdAt && <Moment at={key.createdAt} />}</td>
          <td>{key.expiresAt ? <Moment at={key.expiresAt} /> : "revoked"}</td>
          {onStep && (
            <td className="right">{isUsable(key) && <KeyActions of={key} onStep={onStep} />}</td>
          )}
        </tr>
      ))}
    </Table>
  );
}

function KeyActions({
  of: key,
  onStep,
}: {
  readonly of: Key;
  readonly onStep: (step: Step) => void;
}) {
  return (
    <span className="row row-end">
      {!key.isRegistered && !key.suspendedUntil && (
        <Button
          isSmall
          onClick={() => onStep({ is: "rotate", key })}
          aria-label={`Rotate ${key.name}`}
        >
          Rotate
        </Button>
      )}
      <Button
        isSmall
        kind="quiet"
        onClick={() => onStep({ is: "revoke", key })}
        aria-label={`Revoke ${key.name}`}
      >
        Revoke
      </Button>
    </span>
  );
}

function isUsable({ revokedAt, expiresAt }: Key): boolean {
  return revokedAt === null && (expiresAt === null || Date.parse(expiresAt) > Date.now());
}

function KeyState({ of: key }: { readonly of: Key }) {
  if (key.revokedAt) return <Badge>revoked</Badge>;
  if (!isUsable(key)) return <Badge>expired</Badge>;
  if (key.suspendedUntil) return <Badge tone="bad">suspended</Badge>;
  return (
    <span className="row">
      <Badge tone="good">works</Badge>
      {key.isRegistered && <Badge tone="info">S3</Badge>}
    </span>
  );
}

const overlaps = [
  ["PT1H", "for an hour"],
  ["P1D", "for a day"],
  ["P7D", "for a week"],
  ["PT0S", "not at all"],
] as const;

interface StepProps extends Props {
  readonly step: Step;
  readonly onClose: () => void;
  readonly onDone: (secret?: string | null) => void;
}

function StepDialog({ step, appId, name, onClose, onDone }: StepProps) {
  const tell = useTell();
  if (step.is === "create") {
    return (
      <ActionDialog
        title="Create a key"
        about={`It decides for ${name} as soon as it is made.`}
        verb="Create the key"
        document={CreateKeyDocument}
        variables={({ key = "" }) => ({ input: { appId, ...(key && { name: key }) } })}
        onClose={onClose}
        onDone={(data) => onDone(data.createApiKey?.apiKey)}
      >
        <TextField label="Name" name="key" hint="For people, such as the service that has it" />
      </ActionDialog>
    );
  }
  if (step.is === "register") {
    return (
      <ActionDialog
        title="Register an S3 access key id"
        about={`Requests that are signed with it count as those of ${name}.`}
        verb="Register"
        document={RegisterKeyDocument}
        variables={({ id = "", key = "" }) => ({
          input: { appId, accessKeyId: id, ...(key && { name: key }) },
        })}
        onClose={onClose}
        onDone={() => {
          tell("Access key id registered");
          onDone();
        }}
      >
        <TextField label="Access key id" name="id" required autoComplete="off" />
        <TextField label="Name" name="key" />
      </ActionDialog>
    );
  }
  const { key } = step;
  const label = `${key.name ?? "unnamed"} (${key.prefix}…)`;
  if (step.is === "rotate") {
    return (
      <ActionDialog
        title="Rotate the key"
        about={`Makes a new key of ${name} in place of ${label}.`}
        verb="Rotate the key"
        document={RotateKeyDocument}
        variables={({ overlap = "P1D" }) => ({ input: { apiKeyId: key.apiKeyId, overlap } })}
        onClose={onClose}
        onDone={(data) => onDone(data.rotateApiKey?.apiKey)}
      >
        <ChoiceField
          label="The old key goes on working"
          name="overlap"
          defaultValue="P1D"
          choices={overlaps}
        />
      </ActionDialog>
    );
  }
  return (
    <ActionDialog
      title="Revoke the key"
      about={`Requests with ${label} are refused at once. This cannot be undone.`}
      verb="Revoke the key"
      kind="danger"
      document={RevokeKeyDocument}
      variables={() => ({ input: { apiKeyId: key.apiKeyId } })}
      onClose={onClose}
      onDone={() => {
        tell("Key revoked", label);
        onDone();
      }}
    />
  );
}
