import fc from "fast-check";
import type { Scenario, Step } from "./answers.ts";
import type {
  Bandwidth,
  CostRule,
  Iops,
  OperationType,
  Quota,
  Reservation,
  Settings,
  World,
} from "./world.ts";

/**
 * Random worlds and calls in the form of vector files, small enough that limits bite: quotas of
 * every method on both layers, changing at random moments with gaps in between, beside shadow
 * quotas, default quotas, reservations, cost rules and settings. Only what the database accepts:
 * refills within limits, reservations that every quota of their cluster fits.
 */
export function scenarios(options: Options = {}): fc.Arbitrary<Scenario> {
  const { backOverChanges = true, withoutQuota = true } = options;
  return fc
    .record({ world: worlds(), steps: fc.array(rawStep(), { maxLength: 60, size: "max" }) })
    .map(({ world, steps }) => {
      const of = withoutQuota ? world : { ...world, ...ownQuotasOnly(world) };
      return { ...of, steps: stepsOf(steps, backOverChanges ? [] : changesOf(of.quotas)) };
    });
}

interface Options {
  /** Whether the clock may step back over a change of quota that it has passed. */
  readonly backOverChanges?: boolean;
  /** Whether the setting without_quota and default quotas say what is where no quota is. */
  readonly withoutQuota?: boolean;
}

function ownQuotasOnly({ settings = {}, quotas }: World) {
  const { without_quota: _, ...others } = settings;
  return {
    settings: others,
    quotas: quotas.filter(({ owner }) => !owner.startsWith("default:")),
  };
}

function changesOf(quotas: readonly Quota[]): number[] {
  return quotas.flatMap(({ valid_from_us, valid_to_us }) =>
    valid_to_us === null ? [valid_from_us] : [valid_from_us, valid_to_us],
  );
}

/**
 * Bytes of one cluster, of which three applications want more than there is, a with a reservation
 * and b perhaps; the clock only goes on. With `late`, references are settled into debt and leases
 * are taken too, by the others.
 */
export function contention({ late = false } = {}): fc.Arbitrary<Scenario> {
  const consume = fc.record({
    call: fc.constant("consume"),
    app: fc.constantFrom("a", "a", "b", "c"),
    operation: fc.constant("head"),
    size: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 6_000 })),
    wait: fc.nat(700_000),
    actual: fc.nat(6_000),
  });
  return fc
    .record({
      limit: fc.integer({ min: 100, max: 1_000 }),
      more: fc.nat(1_000),
      reserved: fc.tuple(fc.integer({ min: 1, max: 30 }), fc.nat(30)),
      seconds: fc.integer({ min: 1, max: 3 }),
      max_cluster_debt_seconds: fc.constantFrom(0, 1, 4),
      calls: fc.array(consume, { maxLength: 60, size: "max" }),
    })
    .map(({ limit, more, reserved: [ofA, ofB], seconds, max_cluster_debt_seconds, calls }) => {
      const share = (percent: number) => Math.max(1, Math.floor((limit * percent) / 100));
      const of = (app: string, percent: number): Reservation => {
        return { app, iops: null, bandwidth_bps: share(percent), seconds };
      };
      const bytes: Bandwidth = {
        bandwidth_limit_bps: limit,
        bandwidth_burst_bps: 4 * limit + more,
        burst_duration_seconds: 1,
        refill_rate_bps: limit,
      };
      const always = { valid_from_us: LONG_AGO, valid_to_us: null, iops: null };
      return {
        epoch: "2026-01-01T00:00:00Z",
        applications: ["a", "b", "c"].map((name) => ({ name, cluster: "c" })),
        quotas: [{ owner: "cluster:c", mode: "enforce" as const, bandwidth: bytes, ...always }],
        reservations: ofB === 0 ? [of("a", ofA)] : [of("a", ofA), of("b", ofB)],
        settings: { max_cluster_debt_seconds },
        steps: contending(calls, late),
      };
    });
}

interface Wanted {
  readonly app: string;
  readonly wait: number;
  readonly size: number;
  readonly actual: number;
  readonly operation: string;
  readonly call: string;
}

function contending(calls: readonly Wanted[], late: boolean): Step[] {
  let at_us = 0;
  return calls.flatMap(({ wait: pause, actual, ...call }, index): Step[] => {
    at_us += pause;
    if (!late || call.app === "a") return [{ at_us, ...call }];
    const reference_id = `r${index}`;
    const id = `l${index}`;
    const { app, size: bytes } = call;
    if (index % 4 === 0) {
      const settled = { id, spent_bytes: 0, owed_bytes: actual };
      return [
        { at_us, call: "lease", id, app, tokens: 0, bytes },
        { at_us, call: "settle_lease", ...settled },
      ];
    }
    const settled = { reference_id, actual_size: actual };
    return [
      { at_us, ...call, reference_id },
      { at_us, call: "settle", ...settled },
    ];
  });
}

export const SECOND = 1_000_000;
const LONG_AGO = -1_000 * SECOND;
const SCAN: OperationType = { name: "scan", c_base: "0.7", unit_quantum: 3, c_bw: "0.0007" };

export const OPERATIONS = [
  ...["read_small", "read_medium", "read_large", "write_small", "write_medium", "write_large"],
  ...["list", "head", "delete"],
];

/** The owners of quotas; those of applications and clusters may have shadow quotas beside. */
const OWNERS = ["app:a", "app:b", "app:c", "cluster:c", "cluster:d"];
const DEFAULTS = ["default:c", "default:d"];

function worlds(): fc.Arbitrary<World> {
  return fc
    .record({
      applications: applications(),
      enforced: fc.tuple(...OWNERS.map((owner) => schedule(hasAlways(owner)))),
      shadows: fc.tuple(...OWNERS.map(() => schedule(seldom))),
      defaults: fc.tuple(...DEFAULTS.map(() => schedule(seldom))),
      reservations: reservations(),
      cost_rules: costRules(),
      operation_types: fc.constantFrom<OperationType[]>([], [SCAN]),
      settings: settings(),
    })
    .map(({ enforced, shadows, defaults, reservations: wanted, ...world }) => {
      const isReserved = (app: string) =>
        world.applications.some(({ name, cluster }) => name === app && cluster !== null);
      const reserved = wanted.filter(({ app }) => isReserved(app));
      return {
        epoch: "2026-01-01T00:00:00Z",
        ...world,
        quotas: [
          ...quotasOf(OWNERS, enforced, "enforce").map((quota) => fitting(quota, reserved)),
          ...quotasOf(OWNERS, shadows, "shadow"),
          ...quotasOf(DEFAULTS, defaults, "enforce"),
        ],
        reservations: reserved,
      };
    });
}

function applications() {
  return fc
    .tuple(
      fc.constantFrom("c", "c", "c", "c", null),
      fc.constantFrom("c", "c", "c", "d"),
      fc.constantFrom("c", "c", "d", null),
    )
    .chain((clusters) =>
      fc
        .array(fc.constantFrom("one", "one", "two"), { minLength: clusters.length })
        .map((tenants) =>
          clusters.map((cluster, index) => ({
            name: "abc"[index] as string,
            cluster,
            tenant: tenants[index] as string,
          })),
        ),
    );
}

type Period = Pick<Quota, "valid_from_us" | "valid_to_us" | "iops" | "bandwidth">;

interface Frequency {
  readonly always: number;
  readonly never: number;
  readonly changing: number;
}

const seldom: Frequency = { always: 1, never: 5, changing: 1 };

function hasAlways(owner: string): Frequency {
  return { always: owner.startsWith("cluster") ? 8 : 7, never: 1, changing: 4 };
}

/** Periods of one owner and mode: one without end, none, or several with gaps. */
function schedule({ always, never, changing }: Frequency): fc.Arbitrary<Period[]> {
  const limits = fc.record({
    iops: fc.option(iops(), { freq: 9 }),
    bandwidth: fc.option(bandwidth(), { freq: 3 }),
  });
  const moments = fc.uniqueArray(moment(), { minLength: 2, maxLength: 5 });
  const several = fc.tuple(moments, fc.array(limits, { minLength: 4, maxLength: 4 }), fc.nat(15));
  const endless = limits.map((set) => [{ ...set, valid_from_us: LONG_AGO, valid_to_us: null }]);
  return fc.oneof(
    { weight: always, arbitrary: endless },
    { weight: never, arbitrary: fc.constant<Period[]>([]) },
    { weight: changing, arbitrary: several.map(([at, set, gaps]) => periods(at, set, gaps)) },
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
      iops_limit: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 8, max: 20 })),
      more: fc.integer({ min: 0, max: 20 }),
      burst_duration_seconds: fc.integer({ min: 1, max: 4 }),
      refill: fc.nat(19),
      calculation_method: fc.constantFrom("token_bucket", "leaky_bucket", "fixed_window"),
      min_reserve: fc.oneof(fc.constant(0), fc.nat(15)),
    })
    .map(({ more, refill, ...quota }) => ({
      ...quota,
      iops_burst: quota.iops_limit + more,
      refill_rate: quota.iops_limit - (refill % quota.iops_limit),
    })) as fc.Arbitrary<Iops>;
}

function bandwidth(): fc.Arbitrary<Bandwidth> {
  return fc
    .record({
      bandwidth_limit_bps: fc.integer({ min: 1, max: 200_000 }),
      more: fc.integer({ min: 0, max: 200_000 }),
      burst_duration_seconds: fc.integer({ min: 1, max: 3 }),
      refill: fc.nat(199_999),
      allow_oversize: fc.boolean(),
    })
    .map(({ more, refill, ...quota }) => ({
      ...quota,
      bandwidth_burst_bps: quota.bandwidth_limit_bps + more,
      refill_rate_bps: quota.bandwidth_limit_bps - (refill % quota.bandwidth_limit_bps),
    }));
}

function quotasOf(
  owners: readonly string[],
  schedules: readonly Period[][],
  mode: Quota["mode"],
): Quota[] {
  return schedules.flatMap((periodsOf, index) =>
    periodsOf
      .filter(({ iops: own, bandwidth: bytes }) => own !== null || bytes !== null)
      .map((period) => ({ owner: owners[index] as string, mode, ...period })),
  );
}

/** Few reservations, small beside the quotas that fitting() lets stand. */
function reservations(): fc.Arbitrary<Reservation[]> {
  const reservation = (app: string) =>
    fc.record({
      app: fc.constant(app),
      iops: fc.option(fc.integer({ min: 1, max: 5 }), { freq: 4 }),
      bandwidth_bps: fc.option(fc.integer({ min: 1, max: 40_000 })),
      seconds: fc.integer({ min: 1, max: 3 }),
    });
  const some = fc
    .subarray(["a", "b", "c"], { minLength: 1 })
    .chain((apps) => fc.tuple(...apps.map((app) => reservation(app))));
  return fc
    .oneof(fc.constant<Reservation[]>([]), some)
    .map((all) => all.filter((of) => of.iops !== null || of.bandwidth_bps !== null));
}

/** Section 7 refuses reservations that a quota of the cluster does not fit: the quota is widened. */
function fitting(quota: Quota, reserved: readonly Reservation[]): Quota {
  if (!quota.owner.startsWith("cluster:") || reserved.length === 0) return quota;
  const total = (of: (one: Reservation) => number | null, seconds: boolean) =>
    reserved.reduce((sum, one) => sum + (of(one) ?? 0) * (seconds ? (one.seconds ?? 1) : 1), 0);
  const refills = { iops: total((one) => one.iops, false), bytes: total(bytesOf, false) };
  const headrooms = { iops: total((one) => one.iops, true), bytes: total(bytesOf, true) };
  return {
    ...quota,
    iops: quota.iops && fittingIops(quota.iops, refills.iops, headrooms.iops),
    bandwidth: quota.bandwidth && fittingBytes(quota.bandwidth, refills.bytes, headrooms.bytes),
  };
}

function bytesOf({ bandwidth_bps }: Reservation): number | null {
  return bandwidth_bps;
}

function fittingIops(quota: Iops, refill: number, headroom: number): Iops {
  if (refill === 0) return quota;
  const rate = Math.max(quota.refill_rate ?? 1, Math.ceil((refill * 10) / 9));
  const limit = Math.max(quota.iops_limit, rate);
  const burst = Math.max(quota.iops_burst, limit, 2 * headroom);
  const method = "token_bucket";
  const columns = { refill_rate: rate, iops_limit: limit, iops_burst: burst };
  return { ...quota, ...columns, calculation_method: method };
}

function fittingBytes(quota: Bandwidth, refill: number, headroom: number): Bandwidth {
  if (refill === 0) return quota;
  const rate = Math.max(quota.refill_rate_bps ?? 1, Math.ceil((refill * 10) / 9));
  const limit = Math.max(quota.bandwidth_limit_bps, rate);
  const burst = Math.max(quota.bandwidth_burst_bps, limit, 2 * headroom);
  return {
    ...quota,
    refill_rate_bps: rate,
    bandwidth_limit_bps: limit,
    bandwidth_burst_bps: burst,
  };
}

function costRules(): fc.Arbitrary<CostRule[]> {
  const cost = fc.option(
    fc.integer({ min: 0, max: 99_999 }).map((digits) => (digits / 10_000).toFixed(4)),
  );
  const rule = fc.record({
    app: fc.constantFrom("a", "b", "c"),
    operation: fc.constantFrom(...OPERATIONS),
    c_base_override: cost,
    c_bw_override: cost,
    valid_from_us: moment(),
    valid_to_us: fc.option(fc.constant(20 * SECOND)),
  });
  // Two rules of one application and operation at one time are refused by the database.
  return fc.uniqueArray(rule, {
    maxLength: 3,
    selector: ({ app, operation }) => `${app} ${operation}`,
  });
}

function settings(): fc.Arbitrary<Settings> {
  return fc.record(
    {
      max_debt_seconds: fc.constantFrom(0, 1, 5),
      max_cluster_debt_seconds: fc.constantFrom(0, 1, 3),
      max_borrow_ratio: fc.constantFrom("1", "1.25", "2"),
      default_interest_rate: fc.constantFrom("0", "0.3333", "0.07"),
      borrow_grace_seconds: fc.constantFrom(0, 1, 2),
      max_borrow_duration: fc.constantFrom(2, 5),
      lease_max_share: fc.constantFrom("0.5", "0.3333"),
      lease_common_share: fc.constantFrom("0", "0.3333", "0.5"),
      without_quota: fc.oneof(
        { weight: 14, arbitrary: fc.constant("unlimited") },
        { weight: 1, arbitrary: fc.constant("deny") },
      ),
    },
    { requiredKeys: [] },
  );
}

/** A new one, that of an earlier operation, or that of the earlier operation that is repeated. */
type Reference = "new" | "earlier" | "again" | null;

/** A call that does not know yet which earlier call it is about: `about` picks one. */
interface RawStep {
  readonly reference?: Reference;
  readonly wait: number;
  readonly about: number;
  readonly call: string;
  readonly [argument: string]: unknown;
}

function rawStep(): fc.Arbitrary<RawStep> {
  const app = fc.constantFrom("a", "a", "b", "b", "c");
  const upTo = (max: number) =>
    fc.integer({ min: 1, max }).map((digits) => (digits / SECOND).toFixed(6));
  const tokens = fc.oneof(fc.constant("0"), upTo(30 * SECOND));
  const bytes = fc.oneof(fc.constant(0), fc.nat(300_000));
  const common = { wait: wait(), about: fc.nat(1_000) };
  const consume = fc.record({
    ...common,
    call: fc.constant("consume"),
    app,
    operation: fc.constantFrom(...OPERATIONS),
    size: fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      { weight: 6, arbitrary: fc.nat(100_000) },
      { weight: 2, arbitrary: fc.nat(1_000_000) },
      { weight: 2, arbitrary: fc.constant(null) },
    ),
    reference: fc.oneof(
      { weight: 10, arbitrary: fc.constantFrom<Reference>("new", null) },
      { weight: 2, arbitrary: fc.constant<Reference>("again") },
      { weight: 1, arbitrary: fc.constant<Reference>("earlier") },
    ),
  });
  const about = (call: string) => fc.record({ ...common, call: fc.constant(call) });
  const repay = fc.record({
    ...common,
    call: fc.constant("repay"),
    wait: fc.oneof(wait(), fc.nat(5 * SECOND)),
  });
  const settle = fc.record({
    ...common,
    call: fc.constant("settle"),
    actual_size: fc.oneof(fc.constant(0), fc.nat(200_000), fc.nat(2_000_000)),
  });
  const lease = fc.record({ ...common, call: fc.constant("lease"), app, tokens, bytes });
  const settleLease = fc.record({
    ...common,
    call: fc.constant("settle_lease"),
    spent_tokens: fc.oneof(fc.constantFrom("0", "0"), upTo(2 * SECOND), upTo(30 * SECOND)),
    spent_bytes: fc.oneof(fc.constant(0), fc.constant(0), fc.nat(1_000), fc.nat(300_000)),
    owed_tokens: fc.oneof(fc.constant("0"), upTo(60 * SECOND)),
    owed_bytes: fc.oneof(fc.constant(0), fc.nat(500_000)),
  });
  const borrow = fc.record({
    ...common,
    call: fc.constant("borrow"),
    app,
    kind: fc.constantFrom("iops_l2", "iops_l2", "iops_l2", "bandwidth_l2"),
    tokens: fc.oneof(upTo(5 * SECOND), upTo(20 * SECOND)),
    lender: fc.constantFrom(null, null, null, "app:a", "app:b", "app:b", "cluster:c"),
    duration_seconds: fc.constantFrom(1, 1, 2, 3),
  });
  return fc.oneof(
    { weight: 24, arbitrary: consume },
    { weight: 2, arbitrary: about("refund") },
    { weight: 4, arbitrary: settle },
    { weight: 3, arbitrary: lease },
    { weight: 3, arbitrary: settleLease },
    { weight: 2, arbitrary: borrow },
    { weight: 2, arbitrary: repay },
  );
}

/** Mostly a little later, sometimes much later, sometimes a step back of the clock. */
function wait(): fc.Arbitrary<number> {
  return fc.oneof(
    { weight: 30, arbitrary: fc.nat(100_000) },
    { weight: 10, arbitrary: fc.nat(SECOND) },
    { weight: 3, arbitrary: fc.nat(4 * SECOND) },
    { weight: 3, arbitrary: fc.integer({ min: -SECOND, max: 0 }) },
    { weight: 1, arbitrary: fc.integer({ min: -5 * SECOND, max: -SECOND }) },
  );
}

type Named = "reference" | "lease" | "borrowing";

/** What a call makes, and what a call is about. */
const MAKES: Readonly<Record<string, Named>> = { lease: "lease", borrow: "borrowing" };
const IS_ABOUT: Readonly<Record<string, Named>> = {
  refund: "reference",
  settle: "reference",
  settle_lease: "lease",
  repay: "borrowing",
};

/** The clock does not go back over any of `changes`. */
function stepsOf(raw: readonly RawStep[], changes: readonly number[]): Step[] {
  const made: Record<Named, Step[]> = { reference: [], lease: [], borrowing: [] };
  let at = 0;
  let latest = 0;
  return raw.flatMap(({ wait: pause, about, reference, ...rest }, index): Step[] => {
    at = Math.max(at + pause, ...changes.filter((change) => change <= latest));
    latest = Math.max(latest, at);
    const step: Step = { at_us: at, ...rest };
    const pick = (named: Named) => made[named][about % made[named].length];
    const subject = IS_ABOUT[step.call];
    if (subject !== undefined) {
      const earlier = pick(subject);
      return earlier === undefined ? [] : [{ ...step, ...nameOf(earlier, subject) }];
    }
    const makes = reference === "new" ? "reference" : MAKES[step.call];
    if (makes === undefined) return [referring(step, reference ?? null, pick("reference"), about)];
    const key = makes === "reference" ? "reference_id" : "id";
    const named = { ...step, [key]: `${step.call}-${index}` };
    made[makes].push(named);
    return [named];
  });
}

function nameOf(earlier: Step, named: Named): object {
  const { reference_id, id } = earlier;
  return named === "reference" ? { reference_id } : { id };
}

/** An operation under the reference of an earlier one, which it may or may not be. */
function referring(
  step: Step,
  reference: Reference,
  earlier: Step | undefined,
  about: number,
): Step {
  if (reference === null || earlier === undefined) return step;
  const { app, operation, reference_id } = earlier;
  if (reference === "earlier") return { ...step, reference_id };
  const size = about % 4 === 0 ? step.size : earlier.size;
  return { ...step, app, operation, size, reference_id };
}
