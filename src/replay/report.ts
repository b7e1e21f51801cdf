import { throttlingChart } from "./chart.ts";
import type { Findings } from "./findings.ts";
import type { QuotaNumbers } from "./quota-options.ts";
import type { Recording } from "./read-trace.ts";
import type { ReplayQuotas } from "./replay-world.ts";
import type { Stretch } from "./stretches.ts";
import type { Totals } from "./tally.ts";

export interface Replayed {
  readonly paths: readonly string[];
  readonly recording: Recording;
  readonly quotas: ReplayQuotas;
  readonly retries: number;
  readonly totals: Totals;
}

declare global {
  interface JSON {
    rawJSON(text: string): unknown;
  }
}

/** One JSON object on one line. Integers are written whole, however large. */
export function jsonReport({ paths, recording, quotas, retries, totals }: Replayed): string {
  const { findings, epoch } = recording;
  return JSON.stringify({
    traces: paths.map((path, place) => ({ path, format: recording.formats[place] })),
    quotas: quotasJson(quotas),
    operations: totals.admitted + totals.throttled,
    admitted: totals.admitted,
    throttled: totals.throttled,
    bytes_admitted: whole(totals.bytesAdmitted),
    bytes_throttled: whole(totals.bytesThrottled),
    tokens_used: tokens(totals.tokensUsed),
    retries: { most: retries, asked: totals.retries, admitted: totals.admittedLater },
    longest_throttled: stretchJson(totals.longestThrottled, epoch),
    throttled_by_minute: totals.minutes,
    applications: totals.applications.map((each) => ({
      ...{ application: each.application, admitted: each.admitted, throttled: each.throttled },
      bytes_admitted: whole(each.bytesAdmitted),
      bytes_throttled: whole(each.bytesThrottled),
      longest_throttled: stretchJson(each.longestThrottled, epoch),
    })),
    spread_over_seconds: findings.hasWholeSeconds,
    skipped: Object.fromEntries(findings.skipped),
    given_back: Object.fromEntries(findings.givenBack),
    unknown: Object.fromEntries(findings.unknown),
    bad_lines: findings.badLines,
    decisions_sha256: totals.decisionsSha256,
  });
}

export function textReport({ paths, recording, quotas, retries, totals }: Replayed): string {
  const operations = totals.admitted + totals.throttled;
  const bytes = totals.bytesAdmitted + totals.bytesThrottled;
  return [
    `Replay of ${paths.join(", ")}`,
    ...quotaLines(quotas),
    "",
    row("admitted", totals.admitted, operations, totals.bytesAdmitted, bytes),
    row("throttled", totals.throttled, operations, totals.bytesThrottled, bytes),
    `  longest throttled  ${stretchText(totals.longestThrottled, recording.epoch)}`,
    `  tokens used        ${grouped(tokens(totals.tokensUsed))}`,
    ...(retries > 0 ? [`  admitted later     ${retryText(totals)}`] : []),
    ...findingLines(recording.findings),
    ...applicationLines(totals.applications),
    "",
    "Share of operations throttled, a row an hour, a character a minute:",
    ...throttlingChart(totals.minutes),
    "",
    `decisions_sha256 ${totals.decisionsSha256}`,
  ].join("\n");
}

function retryText({ admittedLater, retries }: Totals): string {
  return `${grouped(admittedLater)}, asked again ${grouped(retries)} times`;
}

function findingLines({ skipped, givenBack, unknown, hasWholeSeconds, badLines }: Findings) {
  const told = (name: string, counts: ReadonlyMap<string, number>) =>
    [...counts].map(([word, count]) => `  ${name.padEnd(18)} ${grouped(count)} ${word}`);
  return [
    ...told("skipped", skipped),
    ...told("given back", givenBack),
    ...told("not in the log", unknown),
    ...(hasWholeSeconds ? ["  times              whole seconds: requests spread over each"] : []),
    ...(badLines.count > 0 ? [`  bad lines          ${badLineText(badLines)}`] : []),
  ];
}

const shownApplications = 20;

function applicationLines(applications: Totals["applications"]): string[] {
  if (applications.length < 2) return [];
  const width = Math.max(...applications.map(({ application }) => application.length), 11);
  const line = (name: string, ...cells: readonly string[]) =>
    `  ${name.padEnd(width)} ${cells.map((cell) => cell.padStart(14)).join("")}`;
  const rows = applications.slice(0, shownApplications).map(({ application, ...counts }) => {
    const share = percent(BigInt(counts.throttled), BigInt(counts.admitted + counts.throttled));
    return line(application, grouped(counts.admitted), grouped(counts.throttled), share);
  });
  const left = applications.length - rows.length;
  return [
    "",
    line("application", "admitted", "throttled", "share"),
    ...rows,
    ...(left > 0 ? [`  … and ${left} more: --json has all of them`] : []),
  ];
}

function quotasJson({ method, own, costs, ...quotas }: ReplayQuotas) {
  return {
    method,
    iops: quotas.iops,
    bandwidth: quotas.bandwidth,
    cluster_iops: quotas.clusterIops,
    cluster_bandwidth: quotas.clusterBandwidth,
    ...(own && { own: Object.fromEntries(own) }),
    ...(costs && { costs }),
  };
}

function quotaLines({ method, ...quotas }: ReplayQuotas): string[] {
  const lines = [
    quotaLine("iops", quotas.iops, `, ${method}`),
    quotaLine("bandwidth", quotas.bandwidth, ""),
    quotaLine("cluster iops", quotas.clusterIops, `, ${method}`),
    quotaLine("cluster bandwidth", quotas.clusterBandwidth, ""),
  ].filter((line) => line !== null);
  if (quotas.own !== undefined) lines.push(`  own quotas         ${quotas.own.size} applications`);
  return lines.length > 0 ? lines : ["  no quota: every operation is admitted"];
}

function quotaLine(name: string, quota: QuotaNumbers | null, how: string): string | null {
  if (quota === null) return null;
  const { limit, burst, seconds } = quota;
  return `  ${name.padEnd(18)} limit ${limit}, burst ${burst} for ${seconds} s${how}`;
}

function row(name: string, count: number, of: number, bytes: bigint, ofBytes: bigint): string {
  const shares = `${percent(BigInt(count), BigInt(of))} of operations`;
  return `  ${name.padEnd(18)} ${grouped(count)} (${shares}), ${grouped(bytes)} bytes (${percent(bytes, ofBytes)})`;
}

function percent(part: bigint, whole: bigint): string {
  if (whole === 0n) return "0.0%";
  const permille = (part * 1000n) / whole;
  return `${permille / 10n}.${permille % 10n}%`;
}

function stretchText(stretch: Stretch | null, epoch: Date): string {
  if (stretch === null) return "none";
  const from = moment(epoch, stretch.fromUs);
  return `${seconds(stretch)} s from ${from}, ${grouped(stretch.operations)} operations`;
}

function stretchJson(stretch: Stretch | null, epoch: Date) {
  if (stretch === null) return null;
  return {
    operations: stretch.operations,
    from: moment(epoch, stretch.fromUs),
    to: moment(epoch, stretch.toUs),
    duration_us: whole(stretch.toUs - stretch.fromUs),
  };
}

function seconds({ fromUs, toUs }: Stretch): string {
  return tokens(toUs - fromUs).slice(0, -3);
}

/** With microseconds, which a Date has not. */
function moment(epoch: Date, offsetUs: bigint): string {
  const at = BigInt(epoch.getTime()) * 1000n + offsetUs;
  const fraction = (at % 1_000_000n).toString().padStart(6, "0");
  return `${new Date(Number(at / 1000n)).toISOString().slice(0, 19)}.${fraction}Z`;
}

function badLineText({ count, first }: Findings["badLines"]): string {
  const named = first.map(({ line, reason }) => `line ${line}: ${reason}`).join("; ");
  return `${count} (${named}${count > first.length ? "; …" : ""})`;
}

function tokens(millionths: bigint): string {
  const fraction = (millionths % 1_000_000n).toString().padStart(6, "0");
  return `${millionths / 1_000_000n}.${fraction}`;
}

function grouped(number: number | bigint | string): string {
  const [integer, fraction] = String(number).split(".") as [string, string | undefined];
  const groups = integer.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? groups : `${groups}.${fraction}`;
}

function whole(value: bigint): unknown {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : JSON.rawJSON(String(value));
}
