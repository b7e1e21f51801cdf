import { useNavigate, useSearch } from "@tanstack/react-router";
import { type CSSProperties, type FormEvent, useState } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { bytesOf, bytesText, short } from "../format/amount.ts";
import { duration } from "../format/time.ts";
import { bucketName, unitOf } from "../format/words.ts";
import { present } from "../overview/rates.ts";
import { Amount } from "../ui/amount.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { ChoiceField, TextField } from "../ui/field.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { WhyThrottledDocument, type WhyThrottledQuery } from "./application.operations.ts";

type Verdict = NonNullable<NonNullable<WhyThrottledQuery["whyThrottled"]>[number]>;

interface Props {
  readonly appId: string;
  readonly operations: readonly string[];
}

const usual = { operation: "read_medium", size: "64 KiB" };

/** What a decision on one operation would look at, now. */
export function WhyThrottled({ appId, operations }: Props) {
  const { operation, size } = useSearch({ from: "/applications/$appId" });
  const navigate = useNavigate({ from: "/applications/$appId" });
  const [asked, setAsked] = useState(0);
  const [problem, setProblem] = useState<string>();

  function ask(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const text = String(given.get("size"));
    if (bytesOf(text) === undefined) {
      setProblem("Give a size such as 64 KiB, 20 MB or 65536.");
      return;
    }
    setProblem(undefined);
    setAsked((count) => count + 1);
    navigate({
      search: (now) => ({ ...now, operation: String(given.get("operation")), size: text }),
      ...{ replace: true, resetScroll: false },
    });
  }

  return (
    <Card
      title="May this operation run now?"
      about="Asks every bucket that the operation would draw on, and takes nothing"
    >
      <form className="ask" onSubmit={ask}>
        <ChoiceField
          label="Operation"
          name="operation"
          defaultValue={operation ?? usual.operation}
          choices={operations.map((name) => [name, name] as const)}
        />
        <TextField
          label="Size"
          name="size"
          defaultValue={size ?? usual.size}
          problem={problem}
          autoComplete="off"
        />
        <Button type="submit">Explain</Button>
      </form>
      {operation && size && bytesOf(size) !== undefined && (
        <Answer
          key={`${operation} ${size} ${asked}`}
          appId={appId}
          operation={operation}
          sizeBytes={String(bytesOf(size))}
        />
      )}
    </Card>
  );
}

function Answer(variables: {
  readonly appId: string;
  readonly operation: string;
  readonly sizeBytes: string;
}) {
  const [{ data, error }] = useQuery({
    ...{ query: WhyThrottledDocument, variables, requestPolicy: "network-only" },
  });
  const problem = problemOfAnswer(error);
  if (problem) return <ProblemNote problem={problem} />;
  if (!data) return <Loading label="Asking" />;
  const verdicts = present(data.whyThrottled);
  const ofQuotas = verdicts.filter(({ mode }) => mode !== "SHADOW");
  return (
    <div className="stack" aria-live="polite">
      <Summary verdicts={ofQuotas} />
      <ol className="verdicts">
        {verdicts.map((verdict) => (
          <VerdictRow key={`${verdict.bucketType} ${verdict.mode}`} verdict={verdict} />
        ))}
      </ol>
      {ofQuotas[0]?.moment && (
        <p className="quiet small">
          As of <Moment at={ofQuotas[0].moment} />, for {bytesText(variables.sizeBytes)}.
        </p>
      )}
    </div>
  );
}

function Summary({ verdicts }: { readonly verdicts: readonly Verdict[] }) {
  const short = verdicts.filter(({ verdict }) => verdict !== "ENOUGH");
  if (short.length === 0) {
    return (
      <p className="note note-good">
        <strong>Yes.</strong> Every bucket that it draws on can pay.
      </p>
    );
  }
  const never = short.find(({ passesAt }) => passesAt === null);
  const latest =
    short
      .map(({ passesAt }) => passesAt ?? "")
      .sort()
      .at(-1) ?? "";
  const from = short[0]?.moment ?? "";
  return (
    <p className="note note-warn">
      <strong>No.</strong> {short.map(({ bucketType }) => bucketName(bucketType)).join(" and ")}{" "}
      {short.length === 1 ? "is" : "are"} short.{" "}
      {never
        ? "As things stand it never passes."
        : `It passes in ${duration((Date.parse(latest) - Date.parse(from)) / 1000)}, if nothing else is taken.`}
    </p>
  );
}

const verdictWords: Readonly<Record<string, string>> = {
  ENOUGH: "can pay",
  SHORT: "is short",
  EXCEEDS_CAPACITY: "never holds that much",
  NO_QUOTA: "has no quota",
};

/** A bar of what the bucket holds: what would be taken of it, or what is missing. */
function VerdictRow({ verdict: row }: { readonly verdict: Verdict }) {
  const unit = unitOf(row.bucketType);
  const isEnough = row.verdict === "ENOUGH";
  const waits = row.passesAt && row.moment ? Date.parse(row.passesAt) - Date.parse(row.moment) : 0;
  return (
    <li className="verdict">
      <div className="verdict-head">
        <span className="strong">
          {bucketName(row.bucketType)}
          <span className="quiet small"> layer {row.layer}</span>
        </span>
        <span className="row">
          {row.mode === "SHADOW" && <Badge tone="info">shadow</Badge>}
          <Badge tone={isEnough ? "good" : "bad"}>
            {verdictWords[row.verdict ?? ""] ?? row.verdict}
          </Badge>
        </span>
      </div>
      <Bar row={row} />
      <div className="meter-foot small quiet">
        <span>
          asks <Amount of={row.charge} unit={unit} />
          {row.tokens !== null && (
            <>
              , holds <Amount of={row.tokens} unit={unit} /> of{" "}
              <Amount of={row.capacity} unit={unit} />
            </>
          )}
        </span>
        {Number(row.debt) > 0 && (
          <span className="bad">
            in debt by <Amount of={row.debt} unit={unit} />
            {row.debtPaidAt && (
              <>
                {", paid "}
                <Moment at={row.debtPaidAt} isRelative />
              </>
            )}
          </span>
        )}
        {!isEnough && row.passesAt && (
          <span>
            passes in {duration(waits / 1000)}, at{" "}
            <Amount of={row.refillRate} unit={unit} per="/s" />
          </span>
        )}
      </div>
    </li>
  );
}

function Bar({ row }: { readonly row: Verdict }) {
  // Others than system administrators are not told what a cluster's bucket holds.
  if (row.tokens === null || row.capacity === null) return null;
  const unit = unitOf(row.bucketType);
  const [tokens, capacity, charge] = [row.tokens, row.capacity, row.charge].map(Number) as [
    number,
    number,
    number,
  ];
  const whole = Math.max(capacity, charge, 1);
  const share = (part: number) => `${(Math.max(part, 0) / whole) * 100}%`;
  const held = Math.max(tokens, 0);
  const style = {
    "--left": share(Math.max(held - charge, 0)),
    "--taken": share(Math.min(held, charge)),
    "--missing": share(charge - held),
    "--capacity": share(capacity),
  } as CSSProperties;
  const words = outcomeOf(row, charge - tokens, unit);
  return (
    <div className="verdict-bar" style={style} role="img" aria-label={words} title={words}>
      <i className="verdict-left" />
      <i className="verdict-taken" />
      <i
        className={row.verdict === "ENOUGH" ? "verdict-missing verdict-owed" : "verdict-missing"}
      />
    </div>
  );
}

/** A full bucket may let more through than it holds, and owes it then. */
function outcomeOf(row: Verdict, missing: number, unit: string): string {
  if (missing <= 0) return `${short(-missing, unit)} would be left`;
  return row.verdict === "ENOUGH"
    ? `${short(missing, unit)} would be owed`
    : `${short(missing, unit)} missing`;
}
