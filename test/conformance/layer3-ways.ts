import type { arrows, Layer3State } from "../../src/client/leases/layer3.ts";

/** What one process holds of one application, driven from outside. Time is the test's. */
export interface Layer3World {
  state(): Promise<string> | string;
  /** An operation that needs more than any lease here holds. */
  ask(): Promise<void>;
  grant(): Promise<void>;
  /** The application has no limits, and so nothing is settled. */
  grantUnlimited(): Promise<void>;
  refuse(): Promise<void>;
  return(): Promise<void>;
  /** The same while so much else is to be settled that a renewal comes before it. */
  returnBehindOthers(): Promise<void>;
  /** The same by a call of its own. */
  returnAtOnce(): Promise<void>;
  settle(): Promise<void>;
  /** The database does not hear of it. */
  settleInVain(): Promise<void>;
  /** The time of all leases passes. */
  end(): Promise<void>;
  fail(): Promise<void>;
  recover(): Promise<void>;
  close(): Promise<void>;
}

export type Arrow = (typeof arrows)[number];
export type Steps = (world: Layer3World) => Promise<void>;

export const nameOf = ([from, by, to]: readonly string[]): string => `${from} -> ${to}: ${by}`;

const steps =
  (...names: Exclude<keyof Layer3World, "state">[]): Steps =>
  async (world) => {
    for (const name of names) await world[name]();
  };

/** How each state is reached. */
const ways: Record<Layer3State, Steps> = {
  empty: steps(),
  renewing: steps("ask"),
  active: steps("ask", "grant"),
  draining: steps("ask", "grant", "return"),
  outage: steps("fail"),
  closed: steps("close"),
};

/** Where the state and the transition alone do not say which arrow it is: the way to its begin. */
const longerWays: Record<string, Steps> = {
  // The current lease is too small for the operation that asks.
  "renewing -> active: refuse": steps("ask", "grant", "ask"),
  "renewing -> draining: refuse": steps("ask", "grant", "returnBehindOthers", "ask"),
  "active -> draining: end": steps("ask", "grant", "returnBehindOthers", "ask", "grant"),
  "draining -> empty: end": steps("ask", "grant", "returnAtOnce", "settleInVain"),
  "active -> empty: return": steps("ask", "grantUnlimited"),
};

/** To where an arrow begins. */
export function wayTo([from, by, to]: Arrow): Steps {
  const longer = longerWays[nameOf([from, by, to])];
  if (longer !== undefined) return longer;
  if (by !== "recover") return ways[from];
  return async (world) => {
    await ways[to](world);
    await world.fail();
  };
}
