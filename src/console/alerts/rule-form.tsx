import { type ChangeEvent, type FormEvent, useState } from "react";
import { sentence } from "../format/words.ts";
import { useAction } from "../ui/action.tsx";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { ChoiceField, TextField } from "../ui/field.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { useTell } from "../ui/toasts.tsx";
import { conditions } from "./conditions.ts";
import {
  channelsOf,
  conditionOf,
  draftOf,
  type Rule,
  type RuleDraft,
  severities,
  systemMetrics,
} from "./rule-draft.ts";
import { RulePreview } from "./rule-preview.tsx";
import { CreateAlertRuleDocument, UpdateAlertRuleDocument } from "./rules.operations.ts";

interface Props {
  /** Null for a default alert. */
  readonly appId: string | null;
  readonly name: string;
  readonly rule?: Rule | undefined;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

const channels = [
  ["none", "nowhere: it is shown here"],
  ["log", "the log of the worker"],
  ["email", "email"],
  ["slack", "Slack"],
  ["webhook", "a webhook"],
] as const;

export function RuleForm({ appId, name, rule, onClose, onDone }: Props) {
  const [draft, setDraft] = useState(() => draftOf(rule));
  const { save, isBusy, problem } = useSave(appId, rule);
  const tell = useTell();
  const field = (key: keyof RuleDraft) => ({
    value: draft[key],
    onChange: ({ target }: ChangeEvent<HTMLInputElement | HTMLSelectElement>) =>
      setDraft({ ...draft, [key]: target.value }),
  });

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (!(await save(draft))) return;
    tell(rule ? "Alert changed" : "Alert made", name);
    onDone();
  }

  return (
    <Dialog
      title={rule ? `Change an alert of ${name}` : `Watch ${name}`}
      about="It triggers when every sample meets the condition for as long as is said here."
      isOpen
      isWide
      onClose={onClose}
    >
      <form className="stack" onSubmit={submit}>
        <div className="fields">
          <ChoiceField
            label="Metric"
            choices={metricsWith(draft.metricName)}
            {...field("metricName")}
          />
          <ChoiceField label="Is" choices={conditions} {...field("condition")} />
          <TextField label="Threshold" inputMode="decimal" required {...field("threshold")} />
          <TextField
            label="For"
            suffix="s"
            inputMode="numeric"
            required
            {...field("durationSeconds")}
          />
          <TextField
            label="Not again within"
            suffix="s"
            inputMode="numeric"
            required
            {...field("cooldownSeconds")}
          />
          <ChoiceField
            label="Severity"
            choices={severities.map((each) => [each, sentence(each)] as const)}
            {...field("severity")}
          />
        </div>
        <div className="fields">
          <ChoiceField
            label="It is sent to"
            choices={rule ? [["keep", "where it goes now"], ...channels] : channels}
            {...field("channel")}
          />
          <Target draft={draft} field={field} />
        </div>
        {appId !== null && <RulePreview appId={appId} draft={draft} />}
        {problem && <ProblemNote problem={problem} />}
        <div className="row row-end">
          <Button kind="quiet" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" kind="primary" isBusy={isBusy}>
            {rule ? "Change the alert" : "Make the alert"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** The metrics of the system, and the one that the rule has: applications report their own, too. */
function metricsWith(name: string): readonly (readonly [string, string])[] {
  const isKnown = systemMetrics.some(([known]) => known === name);
  return isKnown ? systemMetrics : [...systemMetrics, [name, name]];
}

interface TargetProps {
  readonly draft: RuleDraft;
  readonly field: (key: keyof RuleDraft) => object;
}

function Target({ draft: { channel }, field }: TargetProps) {
  if (channel === "email") {
    return <TextField label="Addresses" required hint="By commas" {...field("target")} />;
  }
  if (channel !== "slack" && channel !== "webhook") return null;
  return (
    <>
      <TextField label="Address" type="url" required {...field("target")} />
      {channel === "webhook" && (
        <TextField
          label="Secret"
          type="password"
          autoComplete="off"
          hint="Signs what is sent: at least 16 characters"
          {...field("secret")}
        />
      )}
    </>
  );
}

function useSave(appId: string | null, rule: Rule | undefined) {
  const create = useAction(CreateAlertRuleDocument);
  const update = useAction(UpdateAlertRuleDocument);

  async function save(draft: RuleDraft): Promise<boolean> {
    const channels = channelsOf(draft);
    const limits = conditionOf(draft);
    const done = rule
      ? await update.act({
          input: {
            alertId: rule.alertId,
            patch: { ...limits, ...(channels && { channels }) },
          },
        })
      : await create.act({
          input: { appId, ...limits, channels: channels ?? [] },
        });
    return done !== undefined;
  }

  return {
    ...{ save, isBusy: create.isBusy || update.isBusy, problem: create.problem ?? update.problem },
  };
}
