import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { barChart } from "./chart.ts";
import type { RatioDetail, Results, WorkloadDetail } from "./results.ts";

/** For the terminal: a line for each ratio. */
export function renderSummary(results: Results): string {
  const lines = results.detail.ratios.map(
    (ratio) =>
      `${ratio.name.padEnd(28)}${shown(ratio).padStart(26)}  ${goalOf(ratio).padEnd(8)} ${verdict(ratio)}`,
  );
  return [describe(results), "", ...lines].join("\n");
}

/** For docs: a Markdown page, and its charts beside it. */
export async function writeReport(path: string, results: Results): Promise<void> {
  await mkdir(join(dirname(path), "charts"), { recursive: true });
  for (const [name, svg] of Object.entries(charts(results))) {
    await writeFile(join(dirname(path), "charts", `${name}.svg`), svg);
  }
  await writeFile(path, renderReport(results));
}

export function charts(results: Results): Record<string, string> {
  const perSecond = results.detail.workloads.filter(
    ({ unit, median }) => unit === "per second" && median !== undefined,
  );
  const ratios = results.detail.ratios.filter(
    ({ median, goal }) => median !== undefined && (goal ?? 0) > 0,
  );
  return {
    throughput: barChart(
      "Per second, median of the rounds (line: least to most)",
      perSecond.map(({ name, median, least, most }) => ({ name, value: median, least, most })),
    ),
    goals: barChart(
      "Ratios as a share of their goal (1 = reached; upper bounds inverted)",
      ratios.map((ratio) => ({ name: ratio.name, value: shareOfGoal(ratio) })),
      1,
    ),
  };
}

export function renderReport(results: Results): string {
  return [
    "# Benchmark report",
    describe(results),
    "Settings of PostgreSQL that are not its defaults: " +
      `${Object.entries(results.machine.settings)
        .map(([name, value]) => `\`${name}=${value}\``)
        .join(", ")}.`,
    "## Ratios",
    "![Ratios as a share of their goal](charts/goals.svg)",
    table(
      ["ratio", "median (least to most)", "goal", "reached"],
      results.detail.ratios.map((ratio) => [
        `\`${ratio.name}\``,
        shown(ratio),
        goalOf(ratio),
        verdict(ratio),
      ]),
    ),
    "What is over what:",
    results.detail.ratios.map(({ name, says }) => `- \`${name}\`: ${says}.`).join("\n"),
    "## Workloads",
    "![Per second](charts/throughput.svg)",
    table(
      ["workload", "unit", "median (least to most)", "p50 ms", "p99 ms", "p99.9 ms", "what it is"],
      results.detail.workloads.map(workloadRow),
    ),
    "",
  ].join("\n\n");
}

function describe({ machine }: Results): string {
  return (
    `${machine.cores} cores (${machine.processor}), ${machine.memoryGb} GB, ${machine.platform}, ` +
    `PostgreSQL ${machine.postgresql}, Node ${machine.node}, load by ${machine.loadGenerator}, ` +
    `load average before ${machine.loadBefore.toFixed(1)}, ${machine.measuredAt.slice(0, 10)}.`
  );
}

function workloadRow(workload: WorkloadDetail): string[] {
  const { name, unit, says, latencyMs, notes = {} } = workload;
  const latencies = [latencyMs?.p50, latencyMs?.p99, latencyMs?.p999];
  const noted = Object.entries(notes).map(([what, value]) => `${what} ${value}`);
  return [
    ...[`\`${name}\``, unit, shown(workload), ...latencies.map((one) => String(one ?? ""))],
    [says, ...noted].join("; "),
  ];
}

function shown({ median, least, most, missing }: WorkloadDetail | RatioDetail): string {
  return missing ? "none" : `${median} (${least} to ${most})`;
}

function goalOf({ goal, atMost }: RatioDetail): string {
  return goal === null ? "none" : `${atMost ? "<=" : ">="} ${goal}`;
}

function verdict({ reached, missing, goal }: RatioDetail): string {
  if (goal === null && !missing) return "";
  if (reached === null) return missing ?? "not measured";
  return reached ? "yes" : "no";
}

function shareOfGoal({ median = Number.NaN, goal, atMost }: RatioDetail): number {
  const wanted = goal ?? Number.NaN;
  return atMost ? wanted / median : median / wanted;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n");
}
