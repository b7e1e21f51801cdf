import { vi } from "vitest";
import { ApplicationLimiter } from "../../src/client/application-limiter.ts";
import type { SharedParts } from "../../src/client/application-parts.ts";
import { OperationCost } from "../../src/client/costs/operation-cost.ts";
import { UnavailableError } from "../../src/client/errors.ts";
import type { Layer3State } from "../../src/client/leases/layer3.ts";
import type { LeaseGrant } from "../../src/client/leases/lease.ts";
import type { Layer3World } from "../conformance/layer3-ways.ts";

interface ClientWorld extends Layer3World {
  state(): Layer3State;
  /** What is leased goes back, and what is under way is not kept. */
  letGo(): Promise<void>;
}

const lifetimeMs = 10_000;

const nothing: LeaseGrant = {
  lease_id: null,
  tokens: "0",
  bytes: "0",
  lifetime_ms: String(lifetimeMs),
  retry_after_ms: "60000",
  holders: 1,
  is_limited_tokens: true,
  is_limited_bytes: true,
};
const lease = (): LeaseGrant => ({
  ...nothing,
  lease_id: crypto.randomUUID(),
  tokens: "1000",
  bytes: "1000000",
  retry_after_ms: "0",
});
/** Without limits there is nothing to lease, and so nothing to settle. */
const unlimited: LeaseGrant = { ...nothing, is_limited_tokens: false, is_limited_bytes: false };

const limits = {
  clusterId: null,
  until: Number.POSITIVE_INFINITY,
  tokensPerSecond: 1_000,
  bytesPerSecond: 1_000_000,
  leasableTokens: 10_000,
  leasableBytes: 10_000_000,
  isDirect: false,
};
const costs = new Map([["read_small", new OperationCost("1", "0", "1")]]);

/** An application's limiter of the client whose database answers when the test says so. */
export function openClientLayer3(): ClientWorld {
  const renewals: PromiseWithResolvers<LeaseGrant>[] = [];
  const settlements: PromiseWithResolvers<void>[] = [];
  const store = { isDown: false, isClosed: false, isPaused: () => store.isDown, status: {} };
  const ask = <Answer>(calls: PromiseWithResolvers<Answer>[]) => {
    const call = Promise.withResolvers<Answer>();
    calls.push(call);
    return call.promise;
  };
  const exchange = { renew: () => ask(renewals), settle: () => ask(settlements) };
  const config = {
    application: "a",
    limits,
    keyValidUntil: Number.POSITIVE_INFINITY,
    costs: { hasOwnRules: false, at: () => costs },
  };
  const shared = { store, exchange, loader: { load: async () => config } };
  const limiter = new ApplicationLimiter(
    shared as unknown as SharedParts,
    { application: "a" },
    {
      idleMs: Number.POSITIVE_INFINITY,
      outage: { policy: "closed", maxMs: 0 },
      pollMs: () => Number.POSITIVE_INFINITY,
      onUse: () => {},
      onUncharged: () => {},
      onDecision: undefined,
    },
  );
  /** Until each answer that was given has been heard. */
  const heard = () => vi.advanceTimersByTimeAsync(0);
  /** More than any lease here holds. */
  const dear = 5_000_000;
  async function grant(granted: LeaseGrant) {
    renewals.shift()?.resolve(granted);
    await heard();
  }
  const world: ClientWorld = {
    state: () => limiter.status().lease.state,
    async ask() {
      limiter.check("read_small", dear);
      await heard();
    },
    grant: () => grant(lease()),
    grantUnlimited: () => grant(unlimited),
    async refuse() {
      renewals.shift()?.resolve(nothing);
      await heard();
    },
    async return() {
      void limiter.handBack();
      await heard();
    },
    returnBehindOthers: () => world.return(),
    returnAtOnce: () => world.return(),
    async letGo() {
      void limiter.letGo();
      await heard();
    },
    async settle() {
      for (const call of settlements.splice(0)) call.resolve();
      await heard();
    },
    async settleInVain() {
      for (const call of settlements.splice(0)) call.reject(unanswered());
      await heard();
    },
    async end() {
      await vi.advanceTimersByTimeAsync(lifetimeMs);
      limiter.tick(performance.now());
      await heard();
    },
    async fail() {
      store.isDown = true;
    },
    async recover() {
      store.isDown = false;
    },
    async close() {
      void limiter.close();
    },
  };
  return world;
}

function unanswered() {
  return new UnavailableError("QS503", "no answer", {});
}
