import { createHash } from "node:crypto";
import type { Operation } from "./operations.ts";
import { longer, type Stretch, Stretches } from "./stretches.ts";

export interface Decided extends Operation {
  readonly allowed: boolean;
  /** Six-digit decimal, as the database writes it. */
  readonly cost: string;
  /** Undefined where it can never be admitted, or was. */
  readonly retryAfterUs: bigint | undefined;
  /** It is not asked for again. */
  readonly isLast: boolean;
}

export interface Minute {
  /** Whole minutes since the first operation. */
  readonly minute: number;
  admitted: number;
  throttled: number;
}

/** What became of operations, each counted once, however often it was asked for. */
export interface Counts {
  admitted: number;
  throttled: number;
  bytesAdmitted: bigint;
  bytesThrottled: bigint;
}

export interface ApplicationTotals extends Counts {
  readonly application: string;
  readonly longestThrottled: Stretch | null;
}

export interface Totals extends Counts {
  /** Millionths of a token. */
  readonly tokensUsed: bigint;
  /** Of those admitted, the ones that were throttled before. */
  readonly admittedLater: number;
  /** Decisions beyond the first of each operation. */
  readonly retries: number;
  /** The longest time in which every decision of an application was a denial; null without one. */
  readonly longestThrottled: Stretch | null;
  readonly minutes: readonly Minute[];
  /** The most throttled first. */
  readonly applications: readonly ApplicationTotals[];
  readonly decisionsSha256: string;
}

const minuteUs = 60_000_000n;

/** Adds up decisions as they come, in the order of time. */
export class Tally {
  readonly #decisions = createHash("sha256");
  readonly #minutes: Minute[] = [];
  readonly #applications = new Map<string, Counts & { readonly stretches: Stretches }>();
  readonly #all = nothing();
  #tokensUsed = 0n;
  #admittedLater = 0;
  #retries = 0;
  #first: bigint | undefined;

  add(decided: Decided): void {
    const { offsetUs, allowed, cost, tries, isLast } = decided;
    this.#first ??= offsetUs;
    this.#decisions.update(allowed ? "1" : "0");
    const application = this.#application(decided.application);
    application.stretches.add(offsetUs, allowed);
    this.#retries += tries > 0 ? 1 : 0;
    if (allowed) this.#tokensUsed += millionths(cost);
    if (!isLast) return;
    this.#admittedLater += allowed && tries > 0 ? 1 : 0;
    this.#minuteOf(offsetUs)[allowed ? "admitted" : "throttled"] += 1;
    for (const counts of [this.#all, application]) countIn(counts, decided);
  }

  /** Ends the count: nothing can be added afterwards. */
  totals(): Totals {
    const applications = [...this.#applications]
      .map(([application, { stretches, ...counts }]) => ({
        ...{ application, ...counts },
        longestThrottled: stretches.longest,
      }))
      .sort((a, b) => b.throttled - a.throttled || b.admitted - a.admitted);
    const stretches = applications.map(({ longestThrottled }) => longestThrottled);
    return {
      ...this.#all,
      tokensUsed: this.#tokensUsed,
      admittedLater: this.#admittedLater,
      retries: this.#retries,
      longestThrottled: stretches.reduce(longer, null),
      minutes: this.#minutes,
      applications,
      decisionsSha256: this.#decisions.digest("hex"),
    };
  }

  #application(name: string) {
    const known = this.#applications.get(name);
    if (known !== undefined) return known;
    const fresh = { ...nothing(), stretches: new Stretches() };
    this.#applications.set(name, fresh);
    return fresh;
  }

  #minuteOf(offsetUs: bigint): Minute {
    const minute = Number((offsetUs - (this.#first ?? offsetUs)) / minuteUs);
    const last = this.#minutes.at(-1);
    if (last?.minute === minute) return last;
    const next = { minute, admitted: 0, throttled: 0 };
    this.#minutes.push(next);
    return next;
  }
}

function nothing(): Counts {
  return { admitted: 0, throttled: 0, bytesAdmitted: 0n, bytesThrottled: 0n };
}

function countIn(counts: Counts, { allowed, size }: Decided): void {
  if (allowed) {
    counts.admitted += 1;
    counts.bytesAdmitted += size;
  } else {
    counts.throttled += 1;
    counts.bytesThrottled += size;
  }
}

function millionths(amount: string): bigint {
  const [whole, fraction = ""] = amount.split(".");
  return BigInt(`${whole}${fraction.padEnd(6, "0")}`);
}
