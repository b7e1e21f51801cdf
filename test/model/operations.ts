import { MICRO, max } from "./amounts.ts";
import { costOf } from "./cost.ts";
import { ModelError } from "./model-error.ts";
import type { Pools, Taking } from "./pools.ts";
import { type Draw, delayOf, isImpossible, isShort, most, type Source, waitFor } from "./source.ts";
import { type BucketType, KINDS, type Kind, kindOf, MODES, type Mode } from "./world.ts";

export interface Decision {
  readonly allowed: boolean;
  readonly reason: string | null;
  readonly cost: bigint;
  readonly remaining: bigint | null;
  readonly remainingBytes: bigint | null;
  readonly retryAfterMs: bigint | null;
  readonly delayMs: bigint;
}

/** A bucket in force, and the charge on it. */
interface Asked extends Draw {
  /** It decides: it is charged, or waited for while the size is not known. */
  readonly isAsked: boolean;
  /** A clock that was set back is written: wherever it is charged, or will be at the settle. */
  readonly heals: boolean;
}

export interface Operation {
  readonly app: string;
  readonly operation: string;
  /** Null: not known yet. */
  readonly size: bigint | null;
}

interface Charged extends Operation {
  readonly at: bigint;
  /** What it costs by now: settle moves it. */
  cost: bigint;
  readonly takings: readonly Taking[];
  settled: boolean;
  refunded: boolean;
}

/** Sections 6 and 8: decisions, and what becomes of a charge afterwards. */
export class Operations {
  readonly #pools: Pools;
  readonly #charged = new Map<string, Charged>();
  readonly #owed = new Set<string>();

  constructor(pools: Pools) {
    this.#pools = pools;
  }

  consume(at: bigint, operation: Operation, reference: string | null): Decision {
    const pools = this.#pools;
    if (!pools.isKnown(operation.app)) throw new ModelError("unknown_application");
    const cost = costOf(pools.world, operation.app, operation.operation, operation.size, at);
    const known = reference === null ? undefined : this.#charged.get(keyOf(operation, reference));
    if (known !== undefined && !known.refunded)
      return this.#answerAgain(at, known, operation, cost);
    return this.#decide(at, operation, cost, reference);
  }

  settle(at: bigint, app: string, reference: string, actual: bigint): bigint | null {
    const charged = this.#charged.get(keyOf({ app }, reference));
    if (charged === undefined || charged.refunded || charged.settled) return null;
    const cost = costOf(this.#pools.world, app, charged.operation, actual, charged.at);
    charged.settled = true;
    const more: Record<Kind, bigint> = {
      iops: cost - charged.cost,
      bandwidth: (actual - (charged.size ?? 0n)) * MICRO,
    };
    for (const kind of KINDS) {
      const takings = charged.takings.filter(({ type }) => kindOf(type) === kind);
      if (more[kind] > 0n) this.#pools.takeLate(takings, more[kind], at);
      else for (const taking of takings) this.#pools.giveBack(taking, -more[kind], at);
    }
    charged.cost = cost;
    return cost;
  }

  refund(at: bigint, app: string, reference: string): boolean {
    const charged = this.#charged.get(keyOf({ app }, reference));
    if (charged === undefined || charged.refunded) return false;
    charged.refunded = true;
    for (const taking of charged.takings) this.#pools.giveBack(taking, taking.taken, at);
    return true;
  }

  /** What a holder used beyond its leases, by itself: once under one key. */
  chargeOwed(at: bigint, app: string, owed: Readonly<Record<Kind, bigint>>, key: string): boolean {
    const known = keyOf({ app }, key);
    if (this.#owed.has(known)) return false;
    this.#owed.add(known);
    const sources = MODES.flatMap((mode) => this.#pools.inForce(app, mode, at));
    for (const kind of KINDS) {
      const takings = sources.filter(({ type }) => kindOf(type) === kind).map(nothingTaken);
      this.#pools.takeLate(takings, owed[kind], at);
    }
    return true;
  }

  #decide(at: bigint, operation: Operation, cost: bigint, reference: string | null): Decision {
    const enforced = this.#draws(at, operation, cost, "enforce");
    const shadowed = this.#draws(at, operation, cost, "shadow");
    const denied = this.#denial(at, operation, cost, enforced);
    if (denied !== null) {
      this.#heal([...enforced, ...shadowed]);
      return { ...this.#answer(at, operation.app, cost), ...denied, allowed: false };
    }
    const unpaid = shortOf(shadowed);
    const delayMs = enforced
      .filter(({ charge }) => charge > 0n)
      .map(delayOf)
      .reduce(max, 0n);
    const takings = this.#take(enforced, at);
    if (unpaid.length === 0) takings.push(...this.#take(shadowed, at));
    else this.#heal(shadowed);
    const reason = shortReason(unpaid);
    if (reference !== null) {
      const open = { settled: false, refunded: false };
      const charged = { ...operation, at, cost, takings, ...open };
      this.#charged.set(keyOf(operation, reference), charged);
    }
    return { ...this.#answer(at, operation.app, cost), reason, delayMs };
  }

  /** Every bucket in force, with what the operation is charged: zero too. */
  #draws(at: bigint, { app, size }: Operation, cost: bigint, mode: Mode): Asked[] {
    const charges: Record<Kind, bigint> = { iops: cost, bandwidth: (size ?? 0n) * MICRO };
    return this.#pools.inForce(app, mode, at).map((source) => {
      const charge = charges[kindOf(source.type)];
      const isUnknown = size === null && kindOf(source.type) === "bandwidth";
      const isAsked = charge > 0n || (isUnknown && source.type === "bandwidth_l2");
      return { ...source, charge, isAsked, heals: charge > 0n || isUnknown };
    });
  }

  #denial(
    at: bigint,
    operation: Operation,
    cost: bigint,
    enforced: readonly Asked[],
  ): Pick<Decision, "reason" | "retryAfterMs"> | null {
    const short = enforced.filter(
      (draw) => draw.isAsked && (isShort(draw) || this.#pools.partWait(draw, at) > 0n),
    );
    if (short.some(isImpossible)) return { reason: "exceeds_capacity", retryAfterMs: null };
    if (this.#lacksQuota(operation, cost, enforced)) {
      return { reason: "no_quota", retryAfterMs: null };
    }
    if (short.length === 0) return null;
    const waits = short.map((draw) => {
      const target = draw.charge > most(draw) ? most(draw) : draw.charge;
      return max(waitFor(draw, target, at) as bigint, this.#pools.partWait(draw, at));
    });
    return { reason: shortReason(short), retryAfterMs: waits.reduce(max) };
  }

  #lacksQuota({ size }: Operation, cost: bigint, enforced: readonly Asked[]): boolean {
    if (!this.#pools.settings.deniesWithoutQuota) return false;
    const has = (wanted: BucketType) => enforced.some(({ type }) => type === wanted);
    return (cost > 0n && !has("iops_l2")) || (size !== 0n && !has("bandwidth_l2"));
  }

  #take(draws: readonly Asked[], at: bigint): Taking[] {
    return draws.map((draw) => {
      if (draw.charge > most(draw)) return this.#pools.takeOversize(draw, at);
      if (draw.charge > 0n) return this.#pools.take(draw, draw.charge, "consume");
      this.#heal([draw]);
      return nothingTaken(draw);
    });
  }

  #heal(draws: readonly Asked[]): void {
    for (const draw of draws) if (draw.heals) this.#pools.heal(draw);
  }

  #answer(at: bigint, app: string, cost: bigint): Decision {
    return {
      allowed: true,
      reason: null,
      cost,
      remaining: this.#remaining(at, app, "iops_l2"),
      remainingBytes: this.#remaining(at, app, "bandwidth_l2"),
      retryAfterMs: 0n,
      delayMs: 0n,
    };
  }

  /**
   * Section 8: a reference stands for one operation, of at most the size that it was asked for.
   * It is answered with the cost that stands and what is left by now; a clock that was set back is
   * found here too.
   */
  #answerAgain(at: bigint, charged: Charged, repeated: Operation, cost: bigint): Decision {
    const { app, operation, size } = repeated;
    if (operation !== charged.operation || (size ?? 0n) > (charged.size ?? 0n)) {
      throw new ModelError("reference_in_use");
    }
    for (const mode of MODES) {
      this.#heal(this.#draws(at, repeated, cost, mode));
    }
    return this.#answer(at, app, charged.cost);
  }

  #remaining(at: bigint, app: string, type: BucketType): bigint | null {
    const source =
      this.#pools.inForceOf(app, type, "enforce", at) ??
      this.#pools.inForceOf(app, type, "shadow", at);
    return source?.bucket.level.tokens ?? null;
  }
}

function nothingTaken({ app, type, mode }: Source): Taking {
  return { app, type, mode, taken: 0n, fromReserve: 0n };
}

function shortOf(draws: readonly Asked[]): Asked[] {
  return draws.filter((draw) => draw.isAsked && isShort(draw));
}

function shortReason(short: readonly Draw[]): string | null {
  if (short.some(isImpossible)) return "exceeds_capacity";
  return short[0]?.type ?? null;
}

function keyOf({ app }: { readonly app: string }, reference: string): string {
  return JSON.stringify([app, reference]);
}
