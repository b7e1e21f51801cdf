import type { ApplicationLimiter } from "../application-limiter.ts";
import type { Change } from "./changes.ts";

/** Notifications that arrive within this time are handled together. */
const gatherMs = 20;
/** While they keep coming, up to this long: what changed is read again within a second all the same. */
const longestGatherMs = 500;
/** Up to so many applications reload at once, and read their configs in one call. */
const atOnce = 50;
/** More are spread over this long, and over this long for each. */
const shortestSpreadMs = 300;
const spreadMsEach = 2;

/** Finds the applications that a change concerns, and has them read their config again. */
export class ChangeRouter {
  readonly #all: () => Iterable<ApplicationLimiter>;
  readonly #reload: (limiter: ApplicationLimiter) => void;
  readonly #recheck: (limiter: ApplicationLimiter) => void;
  readonly #reloadCosts: () => Promise<void>;
  readonly #byOwner = new Map<string, Set<ApplicationLimiter>>();
  readonly #owners = new WeakMap<ApplicationLimiter, readonly string[]>();
  /** What was noted of them and is not done yet. */
  readonly #scheduled = new Map<ApplicationLimiter, "reload" | "recheck">();
  #changed = new Set<string>();
  #allChanged = false;
  #hasGap = false;
  #costsChanged = false;
  #timer: NodeJS.Timeout | undefined;
  #gatherMs = gatherMs;
  #flushedAt = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(
    all: () => Iterable<ApplicationLimiter>,
    does: {
      /** Its config changed. */
      readonly reload: (limiter: ApplicationLimiter) => void;
      /** Its config may have changed. */
      readonly recheck: (limiter: ApplicationLimiter) => void;
      readonly reloadCosts: () => Promise<void>;
    },
  ) {
    this.#all = all;
    this.#reload = does.reload;
    this.#recheck = does.recheck;
    this.#reloadCosts = does.reloadCosts;
  }

  /** The limiter has read its config: index it by its owners. */
  index(limiter: ApplicationLimiter): void {
    const { owners } = limiter;
    const known = this.#owners.get(limiter) ?? [];
    if (owners.length === known.length && owners.every((owner, i) => owner === known[i])) return;
    this.remove(limiter);
    this.#owners.set(limiter, owners);
    for (const owner of owners) {
      const limiters = this.#byOwner.get(owner) ?? new Set();
      this.#byOwner.set(owner, limiters.add(limiter));
    }
  }

  remove(limiter: ApplicationLimiter): void {
    for (const owner of this.#owners.get(limiter) ?? []) {
      const limiters = this.#byOwner.get(owner);
      limiters?.delete(limiter);
      if (limiters?.size === 0) this.#byOwner.delete(owner);
    }
    this.#owners.delete(limiter);
  }

  note({ kind, owner_id }: Change): void {
    if (owner_id !== null) this.#changed.add(owner_id);
    else if (kind === "operation_type") this.#costsChanged = true;
    else this.#allChanged = true;
    this.#flushSoon();
  }

  /** Notifications may be missing. */
  noteGap(): void {
    this.#costsChanged = true;
    this.#hasGap = true;
    this.#flushSoon();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #flushSoon(): void {
    if (this.#isClosed || this.#timer !== undefined) return;
    const wait = this.#flushedAt + this.#gatherMs - performance.now();
    this.#timer = setTimeout(() => this.#flush(), Math.max(wait, gatherMs)).unref();
  }

  /** A flood of notifications makes no flood of calls. */
  #pace(): void {
    const now = performance.now();
    const keepsComing = now - this.#flushedAt < 2 * this.#gatherMs;
    this.#gatherMs = keepsComing ? Math.min(2 * this.#gatherMs, longestGatherMs) : gatherMs;
    this.#flushedAt = now;
  }

  #flush(): void {
    this.#timer = undefined;
    this.#pace();
    if (this.#costsChanged) void this.#reloadCosts();
    const changed = this.#changedOnes();
    const unsure = this.#hasGap ? [...this.#all()].filter((limiter) => !changed.has(limiter)) : [];
    this.#changed = new Set();
    this.#allChanged = false;
    this.#costsChanged = false;
    this.#hasGap = false;
    for (const limiter of changed) this.#scheduled.set(limiter, "reload");
    for (const limiter of unsure) {
      if (!this.#scheduled.has(limiter)) this.#scheduled.set(limiter, "recheck");
    }
    this.#spread([...changed, ...unsure]);
  }

  #changedOnes(): Set<ApplicationLimiter> {
    const changed = new Set<ApplicationLimiter>();
    for (const owner of this.#changed) {
      for (const limiter of this.#byOwner.get(owner) ?? []) changed.add(limiter);
    }
    for (const limiter of this.#all()) {
      // Without a config it is not known whom a change concerns.
      const isLoading = this.#changed.size > 0 && limiter.owners.length === 0;
      const hasOldCosts = this.#costsChanged && limiter.hasOwnCosts;
      if (this.#allChanged || isLoading || hasOldCosts) changed.add(limiter);
    }
    return changed;
  }

  /** In groups, at moments that differ between processes. */
  #spread(limiters: readonly ApplicationLimiter[]): void {
    const isCrowd = limiters.length > atOnce;
    const spread = isCrowd ? Math.max(shortestSpreadMs, limiters.length * spreadMsEach) : 0;
    for (let start = 0; start < limiters.length; start += atOnce) {
      const group = limiters.slice(start, start + atOnce);
      if (spread === 0) this.#run(group);
      else setTimeout(() => this.#run(group), spread * Math.random()).unref();
    }
  }

  #run(group: readonly ApplicationLimiter[]): void {
    if (this.#isClosed) return;
    for (const limiter of group) {
      const kind = this.#scheduled.get(limiter);
      this.#scheduled.delete(limiter);
      if (kind === "reload") this.#reload(limiter);
      else if (kind === "recheck") this.#recheck(limiter);
    }
  }
}
