import { useState } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { exact, short } from "../format/amount.ts";
import { sentence } from "../format/words.ts";
import { present } from "../overview/rates.ts";
import { useMay } from "../session/viewer.tsx";
import { ActionDialog } from "../ui/action.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { TextField } from "../ui/field.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { Table } from "../ui/table.tsx";
import { useTell } from "../ui/toasts.tsx";
import {
  CostsDocument,
  type CostsQuery,
  CreateCostRuleDocument,
  DeleteCostRuleDocument,
} from "./costs.operations.ts";

type Operation = NonNullable<NonNullable<CostsQuery["operationTypes"]>["nodes"][number]>;
type CostRule = NonNullable<NonNullable<CostsQuery["application"]>["costRules"]["nodes"][number]>;
type Step =
  | { readonly is: "price"; readonly operation: Operation }
  | { readonly is: "remove"; readonly operation: Operation; readonly rule: CostRule };

interface Props {
  readonly appId: string;
  readonly name: string;
}

/** What each operation costs the application. */
export function CostsTab({ appId, name }: Props) {
  const mayPrice = useMay("system:configure");
  const [{ data, error }, again] = useQuery({ query: CostsDocument, variables: { appId } });
  const [step, setStep] = useState<Step>();
  const problem = problemOfAnswer(error);
  if (problem) return <ProblemNote problem={problem} />;
  if (!data) return <Loading />;

  const rules = present(data.application?.costRules.nodes).filter(isInForce);
  const operations = present(data.operationTypes?.nodes).filter(({ isActive }) => isActive);
  const close = () => setStep(undefined);
  const done = () => {
    close();
    again({ requestPolicy: "network-only" });
  };
  return (
    <Card
      title="Costs"
      about="Tokens that an operation takes: a base, and more with its size"
      isFlush
    >
      <Table
        columns={["Operation", "Where from"]}
        amounts={["Base", "With size"]}
        hasActions={mayPrice}
      >
        {operations.map((operation) => {
          const rule = rules.find(({ operationId }) => operationId === operation.operationId);
          return (
            <tr key={operation.operationId}>
              <th scope="row">
                <span className="strong">{sentence(operation.name)}</span>
                <div className="quiet small">{operation.description}</div>
              </th>
              <td>{rule ? <Override rule={rule} /> : <span className="quiet">the list</span>}</td>
              <td className="right">{exact(rule?.cBaseOverride ?? operation.cBase)}</td>
              <td className="right">
                {exact(rule?.cBwOverride ?? operation.cBw)}
                <span className="unit"> per {short(operation.unitQuantum, "B")}</span>
              </td>
              {mayPrice && (
                <td className="right">
                  <CostActions {...{ operation, rule }} onStep={setStep} />
                </td>
              )}
            </tr>
          );
        })}
      </Table>
      {step?.is === "price" && (
        <PriceDialog
          {...{ appId, name, operation: step.operation }}
          onClose={close}
          onDone={done}
        />
      )}
      {step?.is === "remove" && (
        <RemoveDialog {...step} name={name} onClose={close} onDone={done} />
      )}
    </Card>
  );
}

function isInForce({ isActive, validFrom, validTo }: CostRule): boolean {
  const now = Date.now();
  return isActive && Date.parse(validFrom) <= now && (!validTo || Date.parse(validTo) > now);
}

function Override({ rule }: { readonly rule: CostRule }) {
  return (
    <span className="row">
      <Badge tone="info">own</Badge>
      <span className="quiet small">
        since <Moment at={rule.validFrom} />
      </span>
    </span>
  );
}

interface ActionsProps {
  readonly operation: Operation;
  readonly rule: CostRule | undefined;
  readonly onStep: (step: Step) => void;
}

function CostActions({ operation, rule, onStep }: ActionsProps) {
  const words = sentence(operation.name).toLowerCase();
  if (rule) {
    return (
      <Button
        isSmall
        kind="quiet"
        onClick={() => onStep({ is: "remove", operation, rule })}
        aria-label={`Back to the list for ${words}`}
      >
        Back to the list
      </Button>
    );
  }
  return (
    <Button
      isSmall
      onClick={() => onStep({ is: "price", operation })}
      aria-label={`Change the cost of ${words}`}
    >
      Change
    </Button>
  );
}

interface DialogProps {
  readonly name: string;
  readonly operation: Operation;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

function PriceDialog({
  appId,
  name,
  operation,
  onClose,
  onDone,
}: DialogProps & Pick<Props, "appId">) {
  const tell = useTell();
  return (
    <ActionDialog
      title={`The cost of ${sentence(operation.name).toLowerCase()}`}
      about={`For ${name} alone, from now on. What it was charged so far stays.`}
      verb="Set the cost"
      document={CreateCostRuleDocument}
      variables={({ base = "", size = "" }) => ({
        input: {
          ...{ appId, operationId: operation.operationId },
          ...{ cBaseOverride: base, cBwOverride: size },
        },
      })}
      onClose={onClose}
      onDone={() => {
        tell("Cost set", name);
        onDone();
      }}
    >
      <div className="fields">
        <TextField
          label="Base"
          name="base"
          suffix="tokens"
          inputMode="decimal"
          defaultValue={String(operation.cBase)}
          required
        />
        <TextField
          label="With size"
          name="size"
          suffix={`per ${short(operation.unitQuantum, "B")}`}
          inputMode="decimal"
          defaultValue={String(operation.cBw)}
          required
        />
      </div>
    </ActionDialog>
  );
}

function RemoveDialog({
  name,
  operation,
  rule,
  onClose,
  onDone,
}: DialogProps & { readonly rule: CostRule }) {
  const tell = useTell();
  return (
    <ActionDialog
      title="Back to the list"
      about={`${sentence(operation.name)} costs ${name} ${exact(operation.cBase)} tokens again, and ${exact(operation.cBw)} with size.`}
      verb="Remove its own cost"
      kind="danger"
      document={DeleteCostRuleDocument}
      variables={() => ({ input: { ruleId: rule.ruleId } })}
      onClose={onClose}
      onDone={() => {
        tell("Cost removed", name);
        onDone();
      }}
    />
  );
}
