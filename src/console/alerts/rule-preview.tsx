import { useMemo } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { short } from "../format/amount.ts";
import { present } from "../overview/rates.ts";
import { type Line, LineChart } from "../ui/line-chart.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { useSettled } from "../ui/use-settled.ts";
import { conditionOf, type RuleDraft } from "./rule-draft.ts";
import { RulePreviewDocument } from "./rules.operations.ts";

const lines: readonly Line[] = [
  { label: "The metric", color: "--chart-1", isFilled: true },
  { label: "Threshold", color: "--chart-bad" },
];

const dayMs = 86_400_000;

interface Props {
  readonly appId: string;
  readonly draft: RuleDraft;
}

/** What the last day would have made of the rule, as the database judges it. */
export function RulePreview({ appId, draft }: Props) {
  const span = useMemo(() => lastDay(), []);
  const { severity: _shown, ...rule } = conditionOf(useSettled(draft));
  const isReadable = [draft.threshold, draft.durationSeconds, draft.cooldownSeconds].every(
    isNumber,
  );
  const [{ data, error }] = useQuery({
    query: RulePreviewDocument,
    variables: { appId, ...rule, ...span },
    pause: !isReadable,
  });
  if (!isReadable) return null;
  const problem = problemOfAnswer(error);
  if (problem) return <ProblemNote problem={problem} />;
  if (!data?.previewAlert) return null;

  const { triggeredAt, sampledAt, sampleValues } = data.previewAlert;
  const values = present(sampleValues);
  if (values.length === 0) {
    return <p className="quiet small">This metric has no sample of the last day to try.</p>;
  }
  const times = present(triggeredAt).length;
  return (
    <section className="preview">
      <h3>What the last day would have made of it</h3>
      <p role="status">
        It would have triggered {times === 0 ? "never" : times === 1 ? "once" : `${times} times`}.
        The highest sample was {short(Math.max(...values))}.
      </p>
      <LineChart
        label={rule.metricName}
        lines={lines}
        points={present(sampledAt).map((at, index) => ({
          at: Date.parse(at) / 1000,
          values: [values[index] ?? 0, rule.thresholdValue],
        }))}
        height={120}
        isLong
      />
    </section>
  );
}

function lastDay() {
  const now = Date.now();
  return { since: new Date(now - dayMs).toISOString(), until: new Date(now).toISOString() };
}

const isNumber = (text: string) => text.trim() !== "" && Number.isFinite(Number(text));
