import { micro } from "./database/bucket.ts";
import type { SimulationOptions } from "./options.ts";
import { type Claim, entitlements, jainIndex } from "./shares.ts";
import type { SimulatedWorld } from "./world.ts";

/** Applications that ask less often say little of fairness. */
const leastAsked = 50;

/** Counts up to a moment. */
export interface Snapshot {
  readonly outcomes: readonly { asked: number; admitted: number; failed: number; waits: number }[];
  readonly calls: ReadonlyMap<string, number>;
  readonly grants: number;
  readonly decisions: number;
}

/** What `--json` writes. Tokens and operations are the same: each costs one. */
export interface Findings {
  readonly decisions_per_second: number;
  readonly admitted_per_second: number;
  readonly database_calls_per_second: number;
  readonly calls: Readonly<Record<string, number>>;
  readonly grants_per_second: number;
  readonly database_decisions_per_second: number;
  /** Tokens beyond what buckets gave. */
  readonly over_admitted: number;
  /** Of what was asked and quotas allow. */
  readonly usable_share: number;
  /** Jain's index of what applications got of what they are entitled to, and the least of it. */
  readonly fairness: number;
  readonly least_part: number;
  /** Of all that was taken out of buckets, what was neither used nor given back. */
  readonly waste: number;
  readonly lost_tokens: number;
  /** Operations that failed because a gateway did not reach the database. */
  readonly failed: number;
  /** Of what was asked, what waited for the database, and how long 99 in 100 of those did. */
  readonly waited_share: number;
  readonly wait_p99_ms: number;
}

export function snapshotOf({ demands, server }: SimulatedWorld): Snapshot {
  return {
    outcomes: demands.map(({ outcome: { asked, admitted, failed, waits } }) => ({
      ...{ asked, admitted, failed, waits: waits.length },
    })),
    calls: new Map(server.calls),
    grants: server.grants,
    decisions: server.decisions,
  };
}

export function findingsOf(
  { seconds }: SimulationOptions,
  world: SimulatedWorld,
  { before, after, end }: { before: Snapshot; after: Snapshot; end: Snapshot },
  overAdmitted: bigint,
): Findings {
  const spans = world.demands.map((_, place) => spanOf(before, after, place));
  const total = (key: "asked" | "admitted" | "failed" | "waits") =>
    spans.reduce((sum, span) => sum + span[key], 0);
  const calls = [...after.calls].map(
    ([name, count]) => [name, (count - (before.calls.get(name) ?? 0)) / seconds] as const,
  );
  const perSecond = (count: number) => rounded(count / seconds);
  const { usable, parts } = sharesOf(world, spans, seconds);
  const waits = world.demands
    .flatMap(({ outcome }, place) =>
      outcome.waits.slice(before.outcomes[place]?.waits, after.outcomes[place]?.waits),
    )
    .sort((one, other) => one - other);
  const { taken, lost } = lossOf(world, end);
  return {
    decisions_per_second: perSecond(total("asked")),
    admitted_per_second: perSecond(total("admitted")),
    database_calls_per_second: rounded(calls.reduce((sum, [, count]) => sum + count, 0)),
    calls: Object.fromEntries(calls.map(([name, count]) => [name, rounded(count)])),
    grants_per_second: perSecond(after.grants - before.grants),
    database_decisions_per_second: perSecond(after.decisions - before.decisions),
    over_admitted: Number(overAdmitted) / Number(micro),
    usable_share: rounded(usable),
    fairness: rounded(jainIndex(parts)),
    least_part: rounded(parts.reduce((least, part) => Math.min(least, part), 1)),
    waste: rounded(lost / taken),
    lost_tokens: rounded(lost),
    failed: total("failed"),
    waited_share: rounded(total("waits") / total("asked")),
    wait_p99_ms: rounded(waits[Math.floor(waits.length * 0.99)] ?? 0),
  };
}

function spanOf(before: Snapshot, after: Snapshot, place: number) {
  const none = { asked: 0, admitted: 0, failed: 0, waits: 0 };
  const [from, to] = [before.outcomes[place] ?? none, after.outcomes[place] ?? none];
  return {
    asked: to.asked - from.asked,
    admitted: to.admitted - from.admitted,
    failed: to.failed - from.failed,
    waits: to.waits - from.waits,
  };
}

/** Of each cluster: what quotas allow of what was asked, and each application's part of its own. */
function sharesOf(
  { clusters, demands }: SimulatedWorld,
  spans: readonly ReturnType<typeof spanOf>[],
  seconds: number,
): { usable: number; parts: number[] } {
  const parts: number[] = [];
  let [allowed, admitted] = [0, 0];
  const claims = Map.groupBy(
    demands.map(({ application }, place) => {
      const { asked, admitted: got } = spans[place] as (typeof spans)[number];
      const wanted = Math.min(asked, Number(application.bucket.rate) * seconds);
      return { cluster: application.cluster, tenant: application.tenant, wanted, got };
    }),
    ({ cluster }) => cluster,
  );
  for (const cluster of clusters) {
    const own: Claim[] = claims.get(cluster) ?? [];
    const available = Number(cluster.bucket.rate) * seconds;
    const entitled = entitlements(own, available);
    allowed += entitled.reduce((sum, part) => sum + part, 0);
    admitted += own.reduce((sum, { got }) => sum + got, 0);
    for (const [place, { wanted, got }] of own.entries())
      if (wanted >= leastAsked) parts.push(got / (entitled[place] ?? wanted));
  }
  return { usable: admitted / allowed, parts };
}

/** When nothing is leased any more. */
function lossOf({ demands }: SimulatedWorld, end: Snapshot): { taken: number; lost: number } {
  const taken = demands.reduce((sum, { application }) => sum + application.bucket.taken, 0n);
  const admitted = end.outcomes.reduce((sum, outcome) => sum + outcome.admitted, 0);
  const tokens = Number(taken) / Number(micro);
  return { taken: tokens, lost: tokens - admitted };
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
