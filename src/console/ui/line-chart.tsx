import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { short } from "../format/amount.ts";
import { localClock } from "../format/time.ts";
import type { Point } from "../live/series.ts";
import { theme } from "../shell/theme.ts";
import { useStore } from "../store.ts";

export interface Line {
  readonly label: string;
  /** A colour of the style sheet, such as --chart-1. */
  readonly color: string;
  readonly unit?: string;
  readonly isFilled?: boolean;
}

interface Props {
  readonly label: string;
  readonly lines: readonly Line[];
  readonly points: readonly Point[];
  readonly height?: number;
  readonly unit?: string;
  /** Hours and not minutes. */
  readonly isLong?: boolean;
}

/** What is live shows the last minute at least, and five at most. */
const windowSeconds = 300;
const leastSeconds = 60;

/** Lines over time. What they show is told in words, for those who do not see it. */
export function LineChart({
  label,
  lines,
  points,
  height = 180,
  unit = "",
  isLong = false,
}: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const look = useStore(theme);
  const data = useMemo(() => columnsOf(points, lines.length), [points, lines.length]);
  const latest = useRef(data);
  latest.current = data;

  // biome-ignore lint/correctness/useExhaustiveDependencies: drawn anew in the colours of a theme.
  useEffect(() => {
    const box = place.current;
    if (box === null) return;
    const made = new uPlot(optionsFor(box, { lines, height, unit, isLong }), latest.current, box);
    plot.current = made;
    const watcher = new ResizeObserver(() => made.setSize({ width: box.clientWidth, height }));
    watcher.observe(box);
    return () => {
      watcher.disconnect();
      made.destroy();
    };
  }, [lines, height, unit, isLong, look]);

  useEffect(() => plot.current?.setData(data), [data]);

  return (
    <figure className="chart">
      <div ref={place} role="img" aria-label={spoken(label, lines, points)} />
      <figcaption className="legend">
        {lines.map((line) => (
          <span key={line.label} className="legend-item">
            <i style={{ background: `var(${line.color})` }} />
            {line.label}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

function columnsOf(points: readonly Point[], lines: number): uPlot.AlignedData {
  const columns = Array.from({ length: lines }, (_, index) =>
    points.map(({ values }) => values[index] ?? null),
  );
  return [points.map(({ at }) => at), ...columns];
}

function spoken(label: string, lines: readonly Line[], points: readonly Point[]): string {
  const last = points.at(-1);
  if (last === undefined) return `${label}: nothing yet`;
  const values = lines.map(
    (line, index) => `${line.label} ${short(last.values[index], line.unit)}`,
  );
  return `${label}, now ${values.join(", ")}`;
}

function optionsFor(
  box: HTMLElement,
  { lines, height, unit, isLong }: Required<Omit<Props, "label" | "points">>,
): uPlot.Options {
  const styles = getComputedStyle(box);
  const color = (name: string) => resolved(box, styles.getPropertyValue(name));
  const axis: uPlot.Axis = {
    stroke: color("--text-quiet"),
    font: `11px ${styles.fontFamily}`,
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    ...{ width: Math.max(box.clientWidth, 200), height },
    padding: [8, 26, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 7 } },
    scales: {
      ...(!isLong && { x: { range: (_plot, least, most) => [startOf(least, most), most] } }),
      y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.15 : 1] },
    },
    axes: [
      {
        ...{ ...axis, grid: { show: false }, size: 30, gap: 6, space: 64 },
        ...(!isLong && { incrs: [20, 60, 120] }),
        values: (_plot, ticks, _axis, _space, step) =>
          ticks.map((at) => localClock(at * 1000, step < 60)),
      },
      {
        ...axis,
        gap: 4,
        size: unit === "" ? 44 : 66,
        space: 36,
        values: (_plot, ticks) => ticks.map((at) => short(at, unit)),
      },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        stroke: color(line.color),
        ...(line.isFilled && { fill: withAlpha(color(line.color)) }),
        ...{ width: 1.75, points: { show: false } },
      })),
    ],
  };
}

function startOf(least: number, most: number): number {
  return Math.max(most - windowSeconds, Math.min(least, most - leastSeconds));
}

/** A canvas knows neither variables nor light-dark(). */
function resolved(box: HTMLElement, value: string): string {
  const probe = document.createElement("i");
  probe.style.color = value;
  box.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function withAlpha(color: string): string {
  return `color-mix(in srgb, ${color} 14%, transparent)`;
}
