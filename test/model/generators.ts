import fc from "fast-check";
import type { Step } from "./answers.ts";
import type { Bandwidth, CostRule, Iops, OperationType, Quota, World } from "./world.ts";

/**
 * Random worlds and calls, small enough that limits bite: quotas of every method on both layers,
 * changing at random moments with gaps in between, beside shadow quotas, cost rules and settings.
 */
export function scenarios(): fc.Arbitrary<World & { steps: Step[] }> {
  return fc
    .record({
      applications: applications(),
      schedules: fc.array(schedule(), { minLength: 8, maxLength: 8 }),
      cost_rules: costRules(),
      operation_types: fc.constantFrom<OperationType[]>([], [SCAN]),
      settings: settings(),
      steps: fc.array(rawStep(), { minLength: 1, maxLength: 40 }),
    })
    .map(({ schedules, steps, ...world }) => ({
      epoch: "2026-01-01T00:00:00Z",
      ...world,
      quotas: quotasOf(schedules),
      steps: stepsOf(steps, changesOf(schedules)),
    }));
}

const SECOND = 1_000_000;
const LONG_AGO = -1_000 * SECOND;
const SCAN: OperationType = { name: "scan", c_base: "0.7", unit_quantum: 3, c_bw: "0.0007" };

const OPERATIONS = [
  ...["read_small", "read_medium", "read_large", "write_small", "write_medium", "write_large"],
  ...["list", "head", "delete"],
];

const OWNERS = ["app:a", "app:b", "app:c", "cluster:c"];

function applications() {
  const cluster = fc.constantFrom("c", "c", null);
  return fc
    .tuple(cluster, cluster, cluster)
    .map((clusters) =>
      clusters.map((of, index) => ({ name: "abc"[index] as string, cluster: of })),
    );
}

type Period = Pick<Quota, "valid_from_us" | "valid_to_us" | "iops" | "bandwidth">;

/** Periods of one owner and mode: most often one without end, sometimes several with gaps. */
function schedule(): fc.Arbitrary<Period[]> {
  const limits = fc.record({
    iops: fc.option(iops(), { freq: 5 }),
    bandwidth: fc.option(bandwidth(), { freq: 2 }),
  });
  const always = limits.map((set) => [{ ...set, valid_from_us: LONG_AGO, valid_to_us: null }]);
  const moments = fc.uniqueArray(moment(), { minLength: 2, maxLength: 5 });
  const changing = fc.tuple(moments, fc.array(limits, { minLength: 4, maxLength: 4 }), fc.nat(15));
  return fc.oneof(
    { weight: 3, arbitrary: always },
    { weight: 2, arbitrary: fc.constant<Period[]>([]) },
    { weight: 3, arbitrary: changing.map(([at, set, gaps]) => periods(at, set, gaps)) },
  );
}

function periods(moments: number[], limits: Pick<Quota, "iops" | "bandwidth">[], gaps: number) {
  const sorted = [...moments].sort((a, b) => a - b);
  return sorted.slice(0, -1).flatMap((from, index): Period[] => {
    if ((gaps >> index) % 2 === 1) return [];
    const to = sorted[index + 1] as number;
    const set = limits[index] as Period;
    return [{ ...set, valid_from_us: from, valid_to_us: to }];
  });
}

/** Whole seconds are where fixed windows start: they come up often. */
function moment(): fc.Arbitrary<number> {
  return fc.oneof(
    fc.integer({ min: -3, max: 12 }).map((seconds) => seconds * SECOND),
    fc.integer({ min: -3 * SECOND, max: 12 * SECOND }),
  );
}

function iops(): fc.Arbitrary<Iops> {
  return fc
    .record({
      iops_limit: fc.integer({ min: 1, max: 60 }),
      more: fc.integer({ min: 0, max: 80 }),
      burst_duration_seconds: fc.integer({ min: 1, max: 4 }),
      refill_rate: fc.integer({ min: 1, max: 80 }),
      calculation_method: fc.constantFrom("token_bucket", "leaky_bucket", "fixed_window"),
      min_reserve: fc.oneof(fc.constant(0), fc.nat(30)),
    })
    .map(({ more, ...quota }) => ({ ...quota, iops_burst: quota.iops_limit + more }) as Iops);
}

function bandwidth(): fc.Arbitrary<Bandwidth> {
  return fc
    .record({
      bandwidth_limit_bps: fc.integer({ min: 1, max: 400_000 }),
      more: fc.integer({ min: 0, max: 400_000 }),
      burst_duration_seconds: fc.integer({ min: 1, max: 3 }),
      refill_rate_bps: fc.integer({ min: 1, max: 500_000 }),
      allow_oversize: fc.boolean(),
    })
    .map(({ more, ...quota }) => ({
      ...quota,
      bandwidth_burst_bps: quota.bandwidth_limit_bps + more,
    }));
}

function quotasOf(schedules: Period[][]): Quota[] {
  return schedules.flatMap((periodsOf, index) =>
    periodsOf
      .filter(({ iops: own, bandwidth: bytes }) => own !== null || bytes !== null)
      .map((period) => ({
        owner: OWNERS[index % OWNERS.length] as string,
        mode: index < OWNERS.length ? ("enforce" as const) : ("shadow" as const),
        ...period,
      })),
  );
}

function costRules(): fc.Arbitrary<CostRule[]> {
  const price = fc.option(
    fc.integer({ min: 0, max: 99_999 }).map((digits) => (digits / 10_000).toFixed(4)),
  );
  const rule = fc.record({
    app: fc.constantFrom("a", "b", "c"),
    operation: fc.constantFrom(...OPERATIONS),
    c_base_override: price,
    c_bw_override: price,
    valid_from_us: moment(),
    valid_to_us: fc.option(fc.constant(20 * SECOND)),
  });
  // Two rules of one application and operation at one time are refused by the database.
  return fc.uniqueArray(rule, {
    maxLength: 3,
    selector: ({ app, operation }) => `${app} ${operation}`,
  });
}

function settings() {
  return fc.record(
    {
      max_borrow_ratio: fc.constantFrom("1", "1.25", "2"),
      default_interest_rate: fc.constantFrom("0", "0.3333", "0.07"),
      borrow_grace_seconds: fc.constantFrom(0, 1, 2),
      max_borrow_duration: fc.constantFrom(2, 5),
    },
    { requiredKeys: [] },
  );
}

/** A call that does not yet know which earlier call it is about: `about` picks one. */
interface RawStep {
  readonly referenced?: boolean;
  readonly wait: number;
  readonly about: number;
  readonly call: string;
  readonly [argument: string]: unknown;
}

function rawStep(): fc.Arbitrary<RawStep> {
  const app = fc.constantFrom("a", "a", "b", "c");
  const amount = fc.integer({ min: 0, max: 90_000_000 }).map((digits) => (digits / 1e6).toFixed(6));
  const bytes = fc.oneof(fc.constant(0), fc.nat(600_000));
  const common = { wait: wait(), about: fc.nat(1_000) };
  const consume = fc.record({
    ...common,
    call: fc.constant("consume"),
    app,
    operation: fc.constantFrom(...OPERATIONS),
    size: fc.oneof(fc.constant(0), fc.nat(100_000), fc.nat(2_000_000), fc.constant(null)),
    referenced: fc.boolean(),
  });
  const about = (call: string) => fc.record({ ...common, call: fc.constant(call) });
  const settle = fc.record({
    ...common,
    call: fc.constant("settle"),
    actual_size: fc.nat(900_000),
  });
  const lease = fc.record({ ...common, call: fc.constant("lease"), app, tokens: amount, bytes });
  const spent = { spent_tokens: amount, spent_bytes: bytes };
  const settleLease = fc.record({ ...common, call: fc.constant("settle_lease"), ...spent });
  const borrow = fc.record({
    ...common,
    call: fc.constant("borrow"),
    app,
    kind: fc.constantFrom("iops_l2", "iops_l2", "bandwidth_l2"),
    tokens: amount,
    lender: fc.constantFrom(null, "app:a", "app:b", "cluster:c"),
    duration_seconds: fc.integer({ min: 1, max: 4 }),
  });
  return fc.oneof(
    { weight: 12, arbitrary: consume },
    { weight: 2, arbitrary: about("refund") },
    { weight: 2, arbitrary: settle },
    { weight: 3, arbitrary: lease },
    { weight: 3, arbitrary: settleLease },
    { weight: 3, arbitrary: borrow },
    { weight: 3, arbitrary: about("repay") },
  );
}

/** Mostly a little later, sometimes much later, sometimes a step back of the clock. */
function wait(): fc.Arbitrary<number> {
  return fc.oneof(
    { weight: 8, arbitrary: fc.nat(400_000) },
    { weight: 2, arbitrary: fc.nat(4 * SECOND) },
    { weight: 1, arbitrary: fc.integer({ min: -SECOND, max: 0 }) },
  );
}

type Kind = "reference" | "lease" | "borrowing";

/** What a call makes, and what a call is about. */
const MAKES: Readonly<Record<string, Kind>> = { lease: "lease", borrow: "borrowing" };
const IS_ABOUT: Readonly<Record<string, Kind>> = {
  refund: "reference",
  settle: "reference",
  settle_lease: "lease",
  repay: "borrowing",
};

function changesOf(schedules: readonly Period[][]): number[] {
  return schedules
    .flat()
    .flatMap(({ valid_from_us, valid_to_us }) => [
      valid_from_us,
      ...(valid_to_us === null ? [] : [valid_to_us]),
    ]);
}

function stepsOf(raw: readonly RawStep[], changes: readonly number[]): Step[] {
  const made: Record<Kind, string[]> = { reference: [], lease: [], borrowing: [] };
  let at = 0;
  let latest = 0;
  return raw.flatMap(({ wait: pause, about, ...step }, index): Step[] => {
    // Terms that a bucket has come under stay, whatever the clock does, and it comes under them
    // when it is looked at under lock: so no step of these worlds goes back over a change.
    const earliest = Math.max(LONG_AGO, ...changes.filter((change) => change <= latest));
    at = Math.max(at + pause, earliest);
    latest = Math.max(latest, at);
    const named = nameOf(step, about, `${step.call}-${index}`, made);
    return named === undefined ? [] : [{ at_us: at, ...step, ...named }];
  });
}

/** The identifier of a step: a new one, or an earlier one; undefined where there is none yet. */
function nameOf(
  { call, referenced }: { readonly call: string; readonly referenced?: boolean },
  about: number,
  fresh: string,
  made: Record<Kind, string[]>,
): object | undefined {
  const earlier = IS_ABOUT[call];
  if (earlier !== undefined) {
    const known = made[earlier];
    if (known.length === 0) return undefined;
    const id = known[about % known.length];
    return earlier === "reference" ? { reference_id: id } : { id };
  }
  const kind = referenced === true ? "reference" : MAKES[call];
  if (kind === undefined) return {};
  made[kind].push(fresh);
  return kind === "reference" ? { reference_id: fresh } : { id: fresh };
}
