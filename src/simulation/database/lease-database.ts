import { ceilDiv } from "./bucket.ts";
import { isOpen, type Lease, problemOf } from "./lease.ts";
import { askedLately, isShort, shareOf, writeShare } from "./lease-share.ts";
import type { Application, Cluster } from "./owners.ts";
import { type Proposal, proposeLease } from "./propose-lease.ts";

const mostExpired = 1_000;

export interface Ending {
  readonly application: Application;
  readonly id: string;
  readonly spent: bigint;
}

export interface Renewal {
  readonly application: Application;
  /** Null: the first lease. */
  readonly ending: Ending | null;
  readonly asked: bigint;
  readonly nextId: string;
}

/** What an application was granted. */
export interface Grant {
  readonly id: string | null;
  readonly tokens: bigint;
  readonly lifetimeMs: number;
  readonly retryAfterMs: bigint | null;
  readonly holders: number;
}

export interface Refusal {
  /** Its code. */
  readonly problem: "QS409" | "QS410" | "QS422";
}

/** Layer 1 cannot pay for all that was decided without it. */
class Layer1IsShort extends Error {}

/**
 * Leases of token buckets of tokens by the arithmetic of `rate_limiter.lease_tokens`, `renew_lease`,
 * `settle_lease` and `exchange_leases`, in memory, at moments that do not go back. It has no
 * reservations, no min_reserve, no shadow quotas and the settings of a new installation but for
 * `layer1_prefetch_ms`, which is 0. A test holds it to the SQL.
 */
export class LeaseDatabase {
  readonly lifetimeMs: number;
  readonly #clusters = new Set<Cluster>();

  constructor(lifetimeMs = 10_000) {
    this.lifetimeMs = lifetimeMs;
  }

  /** The job expire_leases. */
  expireAll(at: number): void {
    for (const cluster of this.#clusters) {
      while (this.#expire(cluster, at).length === mostExpired);
    }
  }

  /** renew_lease(), and lease_tokens() where no lease ends. */
  renew(at: number, renewal: Renewal, holder: string, lifetimeMs?: number): Grant | Refusal {
    const refusal = refusalOf(at, renewal);
    if (refusal !== undefined) return refusal;
    const lease = endingLease(at, renewal);
    if (lease === undefined) return this.#lease(at, renewal, holder, lifetimeMs);
    this.#end(at, renewal.application, lease, renewal.ending?.spent ?? 0n);
    return this.#grant(at, renewal, holder, lifetimeMs);
  }

  /** settle_lease(): undefined where it settled. */
  settle(at: number, { application, id, spent }: Ending): string | undefined {
    const lease = application.leases.get(id);
    if (lease === undefined) return "QS404";
    if (spent > lease.tokens) return "QS422";
    if (!isOpen(lease, at)) return problemOf(lease);
    this.#end(at, application, lease, spent);
    return undefined;
  }

  /** consume(): the denial; undefined where it is admitted. */
  consume(at: number, application: Application, cost: bigint): Denial | undefined {
    const buckets = [application.bucket, application.cluster.bucket] as const;
    const waits = buckets.map((bucket) =>
      bucket.tokens(at) >= cost
        ? 0n
        : bucket.capacity < cost
          ? null
          : (ceilDiv(cost - bucket.tokens(at), bucket.rate) + 999n) / 1_000n,
    );
    if (waits.includes(null)) return { reason: "exceeds_capacity", retryAfterMs: null };
    const longest = Math.max(...waits.map(Number));
    if (longest > 0)
      return { reason: waits[0] === 0n ? "iops_l1" : "iops_l2", retryAfterMs: longest };
    for (const bucket of buckets) bucket.take(at, cost);
    return undefined;
  }

  /**
   * exchange_leases(): the answers to renewals in their order; undefined for one that is busy, and
   * is to be asked for alone.
   */
  exchange(
    at: number,
    renewals: readonly Renewal[],
    settlements: readonly Ending[],
    holder: string,
    lifetimeMs?: number,
  ): (Grant | Refusal | undefined)[] {
    const mostUnderLayer1 = 16;
    const wasShort = renewals.some(({ application }) => isShort(application.cluster, at));
    const layer1 = this.#settleLayer2(at, settlements);
    if (!wasShort) {
      try {
        return this.#renewBeforeLayer1(at, renewals, layer1, holder, lifetimeMs);
      } catch (error) {
        if (!(error instanceof Layer1IsShort)) throw error;
      }
    }
    layer1.write(at);
    return renewals.map((renewal, place) =>
      place < mostUnderLayer1 ? this.renew(at, renewal, holder, lifetimeMs) : undefined,
    );
  }

  /** lease_tokens_at(): nothing to give writes nothing. */
  #lease(at: number, renewal: Renewal, holder: string, lifetimeMs?: number): Grant {
    const { application, asked, nextId } = renewal;
    const { cluster } = application;
    const proposal = this.#propose(at, application, asked, holder);
    const isLeasedOut = this.#isLeasedOut(cluster, asked);
    if (proposal.granted > 0n || (isLeasedOut && cluster.expiries.hasExpired(at)))
      return this.#grant(at, renewal, holder, lifetimeMs);
    const repeated = this.#repeated(at, application, nextId, proposal);
    if (repeated !== undefined) return repeated;
    if (isShort(cluster, at) && !askedLately(application, at))
      writeShare(application, at, proposal.shareLeft);
    return this.#grantOf(null, proposal, lifetimeMs);
  }

  /** grant_lease(): under the locks of both layers. */
  #grant(at: number, renewal: Renewal, holder: string, lifetimeMs?: number): Grant {
    const { application, asked, nextId } = renewal;
    const { cluster } = application;
    this.#clusters.add(cluster);
    if (this.#isLeasedOut(cluster, asked)) this.#expire(cluster, at);
    const wasShort = isShort(cluster, at);
    const proposal = this.#propose(at, application, asked, holder);
    const repeated = this.#repeated(at, application, nextId, proposal);
    if (repeated !== undefined) return repeated;
    if (proposal.granted > 0n) {
      cluster.bucket.take(at, proposal.granted);
      cluster.leased += proposal.granted;
      this.#write(at, application, nextId, holder, proposal.granted, lifetimeMs);
    }
    if (wasShort) writeShare(application, at, proposal.shareLeft);
    return this.#grantOf(proposal.granted > 0n ? nextId : null, proposal, lifetimeMs);
  }

  /** renew_lease_layer2() for each, and draw_layer1_for(); throws where layer 1 is short. */
  #renewBeforeLayer1(
    at: number,
    renewals: readonly Renewal[],
    settled: Layer1Changes,
    holder: string,
    lifetimeMs?: number,
  ): (Grant | Refusal)[] {
    const layer1 = settled.copy();
    const undo: (() => void)[] = [];
    try {
      const answers = renewals.map((renewal) =>
        this.#renewLayer2(at, renewal, layer1, undo, holder, lifetimeMs),
      );
      layer1.requireRoom(at);
      layer1.write(at);
      for (const cluster of layer1.clusters()) this.#clusters.add(cluster);
      return answers;
    } catch (error) {
      for (const change of undo.reverse()) change();
      throw error;
    }
  }

  #renewLayer2(
    at: number,
    renewal: Renewal,
    layer1: Layer1Changes,
    undo: (() => void)[],
    holder: string,
    lifetimeMs?: number,
  ): Grant | Refusal {
    const { application, asked, nextId } = renewal;
    const { cluster, bucket } = application;
    const refusal = refusalOf(at, renewal);
    if (refusal !== undefined) return refusal;
    const lease = endingLease(at, renewal);
    if (lease !== undefined) {
      const before = bucket.save();
      undo.push(() => {
        before();
        lease.overAt = null;
        cluster.expiries.add(lease);
      });
      const spent = renewal.ending?.spent ?? 0n;
      this.#endLayer2(at, application, lease, spent);
      layer1.giveBack(cluster, lease.tokens - spent, lease.tokens);
    }
    const full = { tokens: cluster.bucket.capacity, leased: 0n, share: undefined };
    let proposal = proposeLease(application, at, asked, holder, full);
    if (proposal.retryAfterMs !== 0n) {
      const { retryAfterMs } = this.#propose(at, application, asked, holder);
      proposal = { ...proposal, retryAfterMs };
    }
    const repeated = this.#repeated(at, application, nextId, proposal);
    if (repeated !== undefined) return repeated;
    const { granted } = proposal;
    if (granted > 0n) {
      const before = bucket.save();
      const made = this.#write(at, application, nextId, holder, granted, lifetimeMs);
      undo.push(() => {
        before();
        application.leases.delete(nextId);
        cluster.expiries.remove(made);
      });
      layer1.draw(cluster, granted, asked);
    }
    return this.#grantOf(granted > 0n ? nextId : null, proposal, lifetimeMs);
  }

  /** Of settlements: what layer 1 gets back for them is for the caller to write. */
  #settleLayer2(at: number, settlements: readonly Ending[]): Layer1Changes {
    const layer1 = new Layer1Changes();
    for (const { application, id, spent } of settlements) {
      const lease = application.leases.get(id);
      if (lease === undefined || spent > lease.tokens || !isOpen(lease, at)) continue;
      this.#endLayer2(at, application, lease, spent);
      layer1.giveBack(application.cluster, lease.tokens - spent, lease.tokens);
    }
    return layer1;
  }

  #propose(at: number, application: Application, asked: bigint, holder: string): Proposal {
    const { cluster } = application;
    return proposeLease(application, at, asked, holder, {
      tokens: cluster.bucket.tokens(at),
      leased: cluster.leased,
      share: shareOf(application, at),
    });
  }

  #isLeasedOut(cluster: Cluster, asked: bigint): boolean {
    if (asked === 0n || cluster.leased === 0n) return false;
    return 2n * (cluster.leased + asked) > cluster.bucket.capacity;
  }

  #repeated(
    at: number,
    application: Application,
    id: string,
    proposal: Proposal,
  ): Grant | undefined {
    const lease = application.leases.get(id);
    if (lease === undefined) return undefined;
    return {
      ...this.#grantOf(id, proposal),
      tokens: lease.tokens,
      lifetimeMs: Math.floor((lease.expiresAt - at) / 1_000),
    };
  }

  #grantOf(id: string | null, proposal: Proposal, lifetimeMs = this.lifetimeMs): Grant {
    const { granted, retryAfterMs, holders } = proposal;
    return { id, tokens: granted, lifetimeMs, retryAfterMs, holders };
  }

  #write(
    at: number,
    application: Application,
    id: string,
    holder: string,
    tokens: bigint,
    lifetimeMs = this.lifetimeMs,
  ): Lease {
    const expiresAt = at + lifetimeMs * 1_000;
    const lease: Lease = { id, holder, tokens, expiresAt, overAt: null };
    application.bucket.take(at, tokens);
    application.leases.set(id, lease);
    application.cluster.expiries.add(lease);
    return lease;
  }

  #end(at: number, application: Application, lease: Lease, spent: bigint): void {
    this.#endLayer2(at, application, lease, spent);
    application.cluster.leased -= lease.tokens;
    application.cluster.bucket.giveBack(at, lease.tokens - spent);
  }

  #endLayer2(at: number, application: Application, lease: Lease, spent: bigint): void {
    lease.overAt = at;
    application.cluster.expiries.remove(lease);
    application.bucket.giveBack(at, lease.tokens - spent);
  }

  #expire(cluster: Cluster, at: number): Lease[] {
    const expired = cluster.expiries.takeExpired(at, mostExpired);
    for (const lease of expired) {
      lease.overAt = at;
      cluster.leased -= lease.tokens;
    }
    return expired;
  }
}

/** Nothing is written for a renewal that is refused. */
function refusalOf(at: number, { application, ending, nextId }: Renewal): Refusal | undefined {
  const lease = ending === null ? undefined : application.leases.get(ending.id);
  if (ending !== null && lease !== undefined && ending.spent > lease.tokens)
    return { problem: "QS422" };
  const next = application.leases.get(nextId);
  return next === undefined || isOpen(next, at) ? undefined : { problem: problemOf(next) };
}

/** The lease that a renewal ends; undefined where that is over, or unknown. */
function endingLease(at: number, { application, ending }: Renewal): Lease | undefined {
  const lease = ending === null ? undefined : application.leases.get(ending.id);
  return lease !== undefined && isOpen(lease, at) ? lease : undefined;
}

export interface Denial {
  readonly reason: "exceeds_capacity" | "iops_l1" | "iops_l2";
  readonly retryAfterMs: number | null;
}

interface Layer1Change {
  returned: bigint;
  released: bigint;
  drawn: bigint;
  asked: bigint;
}

/** What an exchange does to layer 1, which it locks last. */
class Layer1Changes {
  readonly #changes: Map<Cluster, Layer1Change>;

  constructor(changes: ReadonlyMap<Cluster, Layer1Change> = new Map()) {
    this.#changes = new Map([...changes].map(([cluster, change]) => [cluster, { ...change }]));
  }

  copy(): Layer1Changes {
    return new Layer1Changes(this.#changes);
  }

  clusters(): Iterable<Cluster> {
    return this.#changes.keys();
  }

  giveBack(cluster: Cluster, unspent: bigint, leased: bigint): void {
    const change = this.#of(cluster);
    change.returned += unspent;
    change.released += leased;
  }

  draw(cluster: Cluster, granted: bigint, asked: bigint): void {
    const change = this.#of(cluster);
    change.drawn += granted;
    change.asked += asked;
  }

  /** Leases are shared when layer 1 is short, and when much of it is leased. */
  requireRoom(at: number): void {
    for (const [{ bucket, leased }, { returned, released, drawn, asked }] of this.#changes) {
      if (drawn === 0n) continue;
      const before = bucket.tokens(at) + returned;
      const after = (before < bucket.capacity ? before : bucket.capacity) - drawn;
      const isLeasedOut = 2n * (leased - released + asked) > bucket.capacity;
      if (after < 0n || 2n * after < bucket.capacity || isLeasedOut) throw new Layer1IsShort();
    }
  }

  write(at: number): void {
    for (const [cluster, { returned, released, drawn }] of this.#changes) {
      cluster.bucket.giveBack(at, returned);
      cluster.bucket.take(at, drawn);
      cluster.leased += drawn - released;
    }
  }

  #of(cluster: Cluster): Layer1Change {
    const change = this.#changes.get(cluster);
    if (change !== undefined) return change;
    const none = { returned: 0n, released: 0n, drawn: 0n, asked: 0n };
    this.#changes.set(cluster, none);
    return none;
  }
}
