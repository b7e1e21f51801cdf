import { CurrentCosts, DefaultCosts } from "../costs/current-costs.ts";
import { fromDatabase, type LimiterError, unavailable } from "../errors.ts";
import {
  applicationConfigs,
  type ConfigRow,
  type ErrorRow,
  type NamedApplication,
} from "../store/application-configs.ts";
import { operationCosts } from "../store/operation-costs.ts";
import type { Store } from "../store/store.ts";
import { BatchSize } from "../waiting/batch-size.ts";
import { type ApplicationConfig, type ApplicationName, requireName } from "./application-config.ts";
import { limitsOf } from "./limits.ts";

const largestBatch = 100;
const callsAtOnce = 2;
/** Default costs are read again with a config if they are older. */
const costsAgeMs = 1_000;

interface PendingConfig {
  readonly name: NamedApplication;
  readonly resolve: (config: ApplicationConfig) => void;
  readonly reject: (error: LimiterError) => void;
}

/** Reads configs for all applications of a process, many in one call. */
export class ConfigLoader {
  readonly #store: Store;
  readonly #size: BatchSize;
  readonly #defaults = new DefaultCosts();
  #queue: PendingConfig[] = [];
  #inFlight = 0;
  #costsReadAt = Number.NEGATIVE_INFINITY;
  #readingCosts: Promise<void> | undefined;

  constructor(store: Store, timeoutMs: number) {
    this.#store = store;
    this.#size = new BatchSize(largestBatch, timeoutMs);
  }

  load(name: ApplicationName): Promise<ApplicationConfig> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ name: requireName(name), resolve, reject });
      if (this.#inFlight < callsAtOnce) void this.#work();
    });
  }

  /** Never rejects: costs that could not be read are read with the next config. */
  reloadCosts(): Promise<void> {
    this.#costsReadAt = Number.NEGATIVE_INFINITY;
    return this.#readCosts().catch(() => {});
  }

  async #work(): Promise<void> {
    this.#inFlight += 1;
    // Yield once so that concurrent requests are included.
    await Promise.resolve();
    while (this.#queue.length > 0) await this.#loadBatch(this.#queue.splice(0, this.#size.now));
    this.#inFlight -= 1;
  }

  async #loadBatch(batch: readonly PendingConfig[]): Promise<void> {
    const askedAt = performance.now();
    try {
      const names = batch.map(({ name }) => name);
      const [rows] = await Promise.all([
        this.#store.readUnverified((sql) => applicationConfigs(sql, names)),
        this.#readCosts(),
      ]);
      for (const [index, pending] of batch.entries()) this.#settle(pending, rows[index], askedAt);
    } catch (error) {
      for (const { reject } of batch) reject(error as LimiterError);
    }
    this.#size.see(batch.length, performance.now() - askedAt);
  }

  #settle(pending: PendingConfig, row: ConfigRow | ErrorRow | undefined, askedAt: number): void {
    if (row === undefined) pending.reject(unavailable("a config is missing in the answer"));
    else if ("error" in row) pending.reject(fromDatabase(row.error));
    else pending.resolve(this.#configOf(row, askedAt));
  }

  #configOf(row: ConfigRow, askedAt: number): ApplicationConfig {
    return {
      application: row.app_id,
      tenant: row.tenant_id,
      limits: limitsOf(row.limits, askedAt),
      costs: new CurrentCosts(this.#defaults, row.cost_rules, Number(row.now_us), askedAt),
      keyValidUntil: askedAt + (row.key_valid_ms ?? Number.POSITIVE_INFINITY),
    };
  }

  #readCosts(): Promise<void> {
    if (performance.now() - this.#costsReadAt < costsAgeMs) return Promise.resolve();
    this.#readingCosts ??= this.#readCostsOnce().finally(() => {
      this.#readingCosts = undefined;
    });
    return this.#readingCosts;
  }

  async #readCostsOnce(): Promise<void> {
    const now = performance.now();
    this.#defaults.replace(await this.#store.read(operationCosts));
    this.#costsReadAt = now;
  }
}
