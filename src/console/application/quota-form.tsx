import { type FormEvent, useEffect, useMemo, useState } from "react";
import { useClient } from "urql";
import { type Problem, problemOfAnswer } from "../api/problem.ts";
import { inputMoment } from "../format/time.ts";
import { useAction } from "../ui/action.tsx";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { CheckField, ChoiceField, TextField } from "../ui/field.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { useTell } from "../ui/toasts.tsx";
import { PublishQuotaDocument, ScheduleQuotaDocument } from "./application.operations.ts";
import { type Draft, draftOf, limitsOf, problemsOf } from "./quota-draft.ts";
import { QuotaPreview } from "./quota-preview.tsx";
import type { Quota } from "./quotas.ts";

interface Props {
  readonly appId: string;
  readonly name: string;
  readonly inForce: Quota | undefined;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

const methods = [
  ["TOKEN_BUCKET", "Token bucket: bursts, then a steady rate"],
  ["LEAKY_BUCKET", "Leaky bucket: a steady rate"],
  ["FIXED_WINDOW", "Fixed window: so much in each window"],
] as const;

export function QuotaForm({ appId, name, inForce, onClose, onDone }: Props) {
  const [draft, setDraft] = useState<Draft>(() => draftOf(inForce));
  const publish = useAction(PublishQuotaDocument);
  const schedule = useAction(ScheduleQuotaDocument);
  const tell = useTell();
  const problems = problemsOf(draft);
  const isReadable = Object.keys(problems).length === 0;
  const check = useCheck(appId, draft, isReadable);
  const isLater = draft.when === "later";
  const { isBusy, problem } = isLater ? schedule : publish;

  const input = (field: keyof Draft) => ({
    value: draft[field] as string,
    onChange: (event: { target: { value: string } }) =>
      setDraft({ ...draft, [field]: event.target.value }),
    problem: problems[field],
    autoComplete: "off",
  });

  async function submit(event: FormEvent) {
    event.preventDefault();
    const { reason, validFrom, validTo } = draft;
    const common = {
      ...{ appId, reason, ...limitsOf(draft) },
      ...(validTo && { validTo: new Date(validTo).toISOString() }),
      ...(inForce && !isLater && { ifVersion: inForce.configId }),
    };
    const done = isLater
      ? await schedule.act({ input: { ...common, validFrom: new Date(validFrom).toISOString() } })
      : await publish.act({ input: common });
    if (done === undefined) return;
    tell(isLater ? "Quota scheduled" : "Quota published", name);
    onDone();
  }

  return (
    <Dialog
      title={inForce ? `Change the quota of ${name}` : `Publish a quota of ${name}`}
      about="Checked by the database as you type, and tried on the traffic of the last day."
      isOpen
      isWide
      onClose={onClose}
    >
      <form className="stack" onSubmit={submit}>
        <fieldset className="fieldset">
          <legend>Operations</legend>
          <div className="fields">
            <TextField label="Sustained" suffix="tokens/s" {...input("iopsLimit")} />
            <TextField label="Burst" suffix="tokens/s" {...input("iopsBurst")} />
            <TextField label="A full bucket bursts for" suffix="s" {...input("iopsSeconds")} />
            <ChoiceField
              label="How it refills"
              choices={methods}
              value={draft.method}
              onChange={(event) =>
                setDraft({ ...draft, method: event.target.value as Draft["method"] })
              }
            />
          </div>
        </fieldset>
        <fieldset className="fieldset">
          <legend>Bandwidth</legend>
          <div className="fields">
            <TextField
              label="Sustained"
              suffix="per second"
              {...input("bytesLimit")}
              placeholder="20 MB"
            />
            <TextField
              label="Burst"
              suffix="per second"
              {...input("bytesBurst")}
              placeholder="40 MB"
            />
            <TextField label="A full bucket bursts for" suffix="s" {...input("bytesSeconds")} />
          </div>
          <CheckField
            label="Let an operation through that is larger than the bucket"
            hint="It is paid back by refill; otherwise it can never pass."
            checked={draft.allowOversize}
            onChange={(event) => setDraft({ ...draft, allowOversize: event.target.checked })}
          />
        </fieldset>
        <fieldset className="fieldset">
          <legend>When and why</legend>
          <div className="fields">
            <ChoiceField
              label="In force"
              choices={[
                ["now", "from now on"],
                ["later", "from a moment on"],
              ]}
              value={draft.when}
              onChange={(event) =>
                setDraft({
                  ...draft,
                  when: event.target.value as Draft["when"],
                  validFrom: draft.validFrom || inputMoment(new Date(Date.now() + 3_600_000)),
                })
              }
            />
            {isLater && (
              <TextField label="From" type="datetime-local" {...input("validFrom")} required />
            )}
            <TextField
              label="Until"
              type="datetime-local"
              hint="Empty: until it is changed"
              {...input("validTo")}
            />
          </div>
          <TextField label="Reason" {...input("reason")} required hint="Kept with the version" />
        </fieldset>
        <Checked check={check} />
        {isReadable && <QuotaPreview {...{ appId, draft, inForce }} />}
        {problem && <ProblemNote problem={problem} />}
        <div className="row row-end">
          <Button kind="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" kind="primary" isBusy={isBusy} disabled={isBusy || !isReadable}>
            {isLater ? "Schedule the quota" : "Publish the quota"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

interface Check {
  readonly problem?: Problem | undefined;
  readonly warnings: readonly string[];
  readonly isDone: boolean;
}

const pauseMs = 500;

/** What the database says to the draft, without a change: the mutation itself, tried and undone. */
function useCheck(appId: string, draft: Draft, isReadable: boolean): Check {
  const client = useClient();
  const [check, setCheck] = useState<Check>({ warnings: [], isDone: false });
  const limits = useMemo(() => JSON.stringify(limitsOf(draft)), [draft]);

  useEffect(() => {
    let isOver = false;
    setCheck({ warnings: [], isDone: false });
    if (!isReadable) return;
    const timer = setTimeout(async () => {
      const headers = { "content-type": "application/json", "x-dry-run": "true" };
      const answer = await client.mutation(
        PublishQuotaDocument,
        { input: { appId, reason: "checked before it is published", ...JSON.parse(limits) } },
        { fetchOptions: { headers } },
      );
      if (isOver) return;
      const warnings = (answer.data?.publishQuota?.quota?.warnings ?? []).filter(
        (warning) => warning !== null,
      );
      setCheck({ problem: problemOfAnswer(answer.error), warnings, isDone: true });
    }, pauseMs);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [client, appId, limits, isReadable]);
  return check;
}

function Checked({ check: { problem, warnings, isDone } }: { readonly check: Check }) {
  if (problem) return <ProblemNote problem={problem} />;
  return (
    <div role="status" className="stack">
      {isDone && warnings.length === 0 && (
        <p className="note note-good">The database takes these limits.</p>
      )}
      {warnings.map((warning) => (
        <p key={warning} className="note note-warn">
          {warning}
        </p>
      ))}
    </div>
  );
}
