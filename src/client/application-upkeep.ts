import { setTimeout as sleep } from "node:timers/promises";
import type { ApplicationParts } from "./application-parts.ts";
import { areSame, type Limits } from "./config/limits.ts";
import { noCosts } from "./leases/spending.ts";

/** On close(), while another call tries whether an outage is over. */
const retryMs = 20;

export interface UpkeepOptions {
  readonly idleMs: number;
  /** The current polling interval for changes. */
  readonly pollMs: () => number;
}

/** What one application needs beside decisions: renewed config, leases that go back, an orderly end. */
export class ApplicationUpkeep {
  readonly #parts: ApplicationParts;
  readonly #options: UpkeepOptions;
  #usedAt = performance.now();
  #admittedBefore = 0;
  #admittedAtReturn = 0;

  constructor(parts: ApplicationParts, options: UpkeepOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** Periodic maintenance. Answers whether it still needs to be called. */
  tick(now: number): boolean {
    const { cache, clock, counts, keeper, owed } = this.#parts;
    clock.look(now);
    this.#noteUse(now);
    if (cache.isOlderThan(this.#options.pollMs(), now)) void cache.refresh();
    void owed.chargeAll();
    counts.tick(now);
    if (now - this.#usedAt >= this.#options.idleMs) {
      this.#returnIdle(now);
      return !this.#isEmpty;
    }
    keeper.tick(now);
    return true;
  }

  /** Quotas changed: returns what was leased under the old ones and reads the new ones. */
  async reloadConfig(): Promise<void> {
    const { cache, keeper, layer3, spending } = this.#parts;
    if (layer3.isClosed) return;
    this.#forgetShortage();
    await Promise.all([keeper.handBack(), cache.refresh()]);
    if (spending.admitted > this.#admittedBefore) keeper.renewInBackground();
  }

  /** Something changed while the application was idle: drops the cache until the next use. */
  forgetConfig(): void {
    const { cache, recent, spending } = this.#parts;
    recent.clear();
    cache.drop();
    spending.useCosts(noCosts);
  }

  noteConfig(before: Limits | undefined): void {
    const { cache, keeper, needs } = this.#parts;
    needs.costsAt(performance.now());
    const limits = cache.config?.limits;
    if (before === undefined || limits === undefined || areSame(before, limits)) return;
    // Not notified, as by polling: leases of the old limits go back.
    this.#forgetShortage();
    void keeper.handBack();
  }

  /** The key or the application is not valid. */
  async stop(): Promise<void> {
    this.#parts.spending.useCosts(noCosts);
    await this.#parts.keeper.handBack();
  }

  /** Another application took its place in the cache. Its caller may use it again. */
  async letGo(): Promise<void> {
    const returned = this.#parts.keeper.letGo();
    this.forgetConfig();
    await returned;
  }

  async close(): Promise<void> {
    const { cache, keeper, layer3, spending, store } = this.#parts;
    layer3.close();
    cache.close();
    spending.useCosts(noCosts);
    await keeper.idle();
    await this.#returnAll();
    // Again, as long as the database does not answer.
    while (!this.#isEmpty && store.isDown && !store.isClosed) {
      const { nextTryAt } = store.status;
      await sleep(Math.max(nextTryAt - performance.now(), retryMs), undefined, { ref: false });
      await this.#returnAll();
    }
  }

  async #returnAll(): Promise<void> {
    await this.#parts.owed.chargeAll();
    await this.#parts.keeper.handBack();
    await this.#parts.counts.report(true);
  }

  #noteUse(now: number): void {
    const { layer3, spending } = this.#parts;
    if (spending.admitted === this.#admittedBefore && !layer3.isRenewing) return;
    this.#admittedBefore = spending.admitted;
    this.#usedAt = now;
  }

  #returnIdle(now: number): void {
    const { keeper, layer3, rare, spending, store } = this.#parts;
    if (layer3.leases.isEmpty || store.isPaused(now)) return;
    rare.noteReturned(spending.admitted - this.#admittedAtReturn);
    this.#admittedAtReturn = spending.admitted;
    void keeper.handBack();
  }

  #forgetShortage(): void {
    this.#parts.recent.clear();
    this.#parts.keeper.forgetPause();
  }

  /** Nothing is left that the database has to be told. */
  get #isEmpty(): boolean {
    const { counts, layer3, owed } = this.#parts;
    return owed.isEmpty && counts.isEmpty && layer3.leases.isEmpty;
  }
}
