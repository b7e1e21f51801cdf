import { useMemo } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { short } from "../format/amount.ts";
import { present } from "../overview/rates.ts";
import { type Line, LineChart } from "../ui/line-chart.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { triggersOf, withZeros } from "./episodes.ts";
import type { RuleDraft } from "./rule-draft.ts";
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

/** What the last day would have made of the rule. */
export function RulePreview({ appId, draft }: Props) {
  const { metricName } = draft;
  const variables = useMemo(() => {
    const since = new Date(Date.now() - dayMs).toISOString();
    return {
      filter: {
        appId: { equalTo: appId },
        metricName: { equalTo: metricName },
        timestamp: { greaterThanOrEqualTo: since },
      },
    };
  }, [appId, metricName]);
  const [{ data, error }] = useQuery({ query: RulePreviewDocument, variables });
  const samples = useMemo(() => {
    const found = [data?.newest, data?.older, data?.oldest]
      .flatMap((page) => present(page?.nodes))
      .map(({ timestamp, value }) => ({ at: Date.parse(timestamp) / 1000, value }))
      .toReversed();
    return isCount(metricName) ? withZeros(found) : found;
  }, [data, metricName]);
  const problem = problemOfAnswer(error);
  if (problem) return <ProblemNote problem={problem} />;
  const threshold = Number(draft.threshold);
  if (draft.threshold === "" || Number.isNaN(threshold)) return null;
  if (samples.length === 0) {
    return <p className="quiet small">This metric has no sample of the last day to try.</p>;
  }

  const times = triggersOf(
    {
      ...{ condition: draft.condition, threshold },
      durationSeconds: Number(draft.durationSeconds) || 0,
      cooldownSeconds: Number(draft.cooldownSeconds) || 0,
    },
    samples,
  ).length;
  return (
    <section className="preview">
      <h3>What the last day would have made of it</h3>
      <p role="status">
        It would have triggered {times === 0 ? "never" : times === 1 ? "once" : `${times} times`}.
        The highest sample was {short(Math.max(...samples.map(({ value }) => value)))}.
      </p>
      <LineChart
        label={metricName}
        lines={lines}
        points={samples.map(({ at, value }) => ({ at, values: [value, threshold] }))}
        height={120}
        isLong
      />
    </section>
  );
}

function isCount(metricName: string): boolean {
  return /^qos_(?!bucket_fill|cluster_health)/.test(metricName);
}
