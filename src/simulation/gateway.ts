import { ApplicationLimiter } from "../client/application-limiter.ts";
import { ConfigLoader } from "../client/config/config-loader.ts";
import { LeaseExchange } from "../client/leases/lease-exchange.ts";
import { Store } from "../client/store/store.ts";
import type { Network } from "./network.ts";
import { operation } from "./server.ts";
import type { VirtualTime } from "./virtual-time.ts";

const timeoutMs = 2_000;
const idleMs = 1_000;
/** While notifications arrive. */
const pollMs = 60_000;

export interface Outcome {
  asked: number;
  admitted: number;
  denied: number;
  /** Those that got no answer of the database. */
  failed: number;
  /** Milliseconds that answers took, of those that took any. */
  readonly waits: number[];
}

/** A process with the client, as Limiter makes it up; its requests are counted. */
export class SimulatedGateway {
  readonly network: Network;
  readonly #time: VirtualTime;
  readonly #shared: ConstructorParameters<typeof ApplicationLimiter>[0];
  readonly #applications = new Map<string, ApplicationLimiter>();
  readonly #active = new Set<ApplicationLimiter>();
  #isDead = false;

  constructor(time: VirtualTime, network: Network, holder: string) {
    this.#time = time;
    this.network = network;
    const store = new Store(network, timeoutMs, () => {});
    this.#shared = {
      store,
      loader: new ConfigLoader(store, timeoutMs),
      exchange: new LeaseExchange(store, { holder, lifetimeMs: null }, timeoutMs),
    };
  }

  /** It does nothing any more, and nothing of what it holds goes back. */
  kill(): void {
    this.#isDead = true;
    this.#active.clear();
  }

  /** Limiter does so each 100 ms. */
  tick(): void {
    for (const limiter of this.#active)
      if (!limiter.tick(this.#time.now)) this.#active.delete(limiter);
  }

  ask(application: string, outcome: Outcome): void {
    outcome.asked += 1;
    if (this.#isDead) outcome.failed += 1;
    else void this.#decide(this.#limiterOf(application), outcome);
  }

  async #decide(limiter: ApplicationLimiter, outcome: Outcome): Promise<void> {
    const askedAt = this.#time.now;
    const { allowed, reason } = await limiter.checkAsync(operation);
    if (allowed) outcome.admitted += 1;
    else if (reason === "store_unavailable") outcome.failed += 1;
    else outcome.denied += 1;
    const waited = this.#time.now - askedAt;
    if (waited > 0) outcome.waits.push(waited);
  }

  #limiterOf(application: string): ApplicationLimiter {
    const known = this.#applications.get(application);
    if (known !== undefined) return known;
    const limiter = new ApplicationLimiter(
      this.#shared,
      { application },
      {
        idleMs,
        outage: { policy: "closed", maxMs: 0 },
        pollMs: () => pollMs,
        onUse: (used) => void this.#active.add(used),
        onUncharged: () => {},
        onDecision: undefined,
      },
    );
    this.#applications.set(application, limiter);
    return limiter;
  }
}
