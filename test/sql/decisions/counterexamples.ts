import type { Scenario, Step } from "../../model/answers.ts";
import type { Bandwidth, Iops, Quota } from "../../model/world.ts";

interface Counterexample {
  readonly name: string;
  readonly scenario: Scenario;
}

const iops: Iops = {
  iops_limit: 1,
  iops_burst: 1,
  burst_duration_seconds: 1,
  refill_rate: 1,
  calculation_method: "token_bucket",
  min_reserve: 0,
};

const bandwidth: Bandwidth = {
  bandwidth_limit_bps: 1,
  bandwidth_burst_bps: 1,
  burst_duration_seconds: 1,
  refill_rate_bps: 1,
  allow_oversize: false,
};

function scenario(quotas: Quota[], ...steps: Step[]) {
  const applications = ["a", "b", "c"].map((name) => ({ name, cluster: "c" }));
  return { epoch: "2026-01-01T00:00:00Z", applications, quotas, steps };
}

function quota(
  limits: Partial<Pick<Quota, "iops" | "bandwidth">>,
  from = -1e9,
  to?: number,
): Quota {
  return {
    owner: "app:a",
    mode: "enforce",
    valid_from_us: from,
    valid_to_us: to ?? null,
    iops: null,
    bandwidth: null,
    ...limits,
  };
}

function read(at_us: number, size = 0, more: object = {}): Step {
  return { at_us, call: "consume", app: "a", operation: "read_small", size, ...more };
}

/** Each was answered differently once; most were found in random worlds and shrunk. */
export const counterexamples: readonly Counterexample[] = [
  {
    name: "a late charge that the reserve pays nothing of, after the clock stepped back",
    scenario: {
      ...scenario(
        [
          {
            ...quota({ iops: { ...iops, iops_limit: 8, iops_burst: 12, refill_rate: 8 } }),
            owner: "cluster:c",
          },
        ],
        { at_us: 2_000_000, call: "lease", app: "a", id: "l", tokens: "11", bytes: 0 },
        { at_us: 3_000_000, call: "lease", app: "a", id: "m", tokens: "1", bytes: 0 },
        { at_us: 500_000, call: "settle_lease", id: "m", spent_tokens: "1", owed_tokens: "1" },
        read(900_000),
      ),
      reservations: [{ app: "a", iops: 2, bandwidth_bps: null, seconds: 3 }],
    },
  },
  {
    name: "a loan of an application of another tenant",
    scenario: {
      ...scenario([quota({ iops }), { ...quota({ iops }), owner: "app:b" }], {
        at_us: 0,
        call: "borrow",
        app: "a",
        id: "l",
        kind: "iops_l2",
        tokens: "0.1",
        lender: "app:b",
        duration_seconds: 1,
      }),
      applications: [
        { name: "a", cluster: "c", tenant: "one" },
        { name: "b", cluster: "c", tenant: "two" },
      ],
    },
  },
  {
    name: "a bucket whose quota is not yet in force",
    scenario: scenario([quota({ bandwidth }, 0, 1_000_000)], read(-1), read(-1)),
  },
  {
    name: "a look that charges nothing, before the clock steps back",
    scenario: scenario([quota({ bandwidth })], read(0), read(-1, 1), read(-1, 1)),
  },
  {
    name: "a quota that is raised before anybody drew on it",
    scenario: scenario(
      [
        quota({ bandwidth }, 1, 1_000_000),
        quota({ bandwidth: { ...bandwidth, bandwidth_burst_bps: 5 } }, 1_000_000),
      ],
      read(0),
      read(1_000_000),
    ),
  },
  {
    name: "the same at layer 1, where it would have admitted",
    scenario: scenario(
      [
        { ...quota({ iops }, -1_000_000, 0), owner: "cluster:c" },
        { ...quota({ iops: { ...iops, iops_burst: 2 } }, 0), owner: "cluster:c" },
      ],
      read(0, 0, { operation: "read_medium" }),
    ),
  },
  {
    name: "a refund into a full bucket, before the clock steps back",
    scenario: scenario(
      [
        quota({
          bandwidth: {
            ...bandwidth,
            bandwidth_limit_bps: 192_229,
            bandwidth_burst_bps: 192_229,
            refill_rate_bps: 192_229,
          },
        }),
      ],
      read(0, 1, { reference_id: "r" }),
      { at_us: 6, call: "refund", reference_id: "r" },
      read(5),
    ),
  },
  {
    name: "a lease from a bucket that borrowed above its capacity",
    scenario: scenario(
      [quota({ iops: { ...iops, iops_limit: 45, iops_burst: 45 } })],
      {
        at_us: 0,
        call: "borrow",
        app: "a",
        id: "x",
        kind: "iops_l2",
        tokens: "0.000001",
        lender: null,
        duration_seconds: 1,
      },
      { at_us: 0, call: "lease", app: "a", id: "y", tokens: "45.000001", bytes: 0 },
    ),
  },
  {
    name: "an operation on a bucket that is dormant by now, after one that locked it",
    scenario: scenario(
      [quota({ iops: { ...iops, iops_burst: 34 } }, -1e9, -1e6)],
      read(0, 0, { reference_id: "r" }),
      read(1),
    ),
  },
  {
    name: "an unknown size that finds the clock set back, in debt",
    scenario: scenario(
      [quota({ bandwidth: { ...bandwidth, allow_oversize: true } })],
      read(9_000_000, 3),
      read(0, 0, { size: null }),
      read(1_500_000, 0, { size: null }),
      read(2_000_000, 0, { size: null }),
    ),
  },
  {
    name: "a change of a shadow quota that could not pay, before the clock steps back over it",
    scenario: scenario(
      [
        { ...quota({ iops: { ...iops, iops_burst: 3 } }, -1e9, 0), mode: "shadow" },
        { ...quota({ iops }, 0), mode: "shadow" },
      ],
      read(0, 0, { operation: "read_medium" }),
      read(-1, 0, { operation: "read_medium" }),
    ),
  },
];
