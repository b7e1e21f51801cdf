import { expect, test, vi } from "vitest";
import type { Need } from "../../src/client/decisions/need.ts";
import { Layer3 } from "../../src/client/leases/layer3.ts";
import { LeaseKeeper, type LeaseKeeperOptions } from "../../src/client/leases/lease-keeper.ts";

const need = (tokens: number, bytes: number): Need => ({
  operation: "read_small",
  tokens,
  bytes,
  bytesCharged: bytes,
});

const nothing = {
  lease_id: null,
  tokens: "0",
  bytes: "0",
  lifetime_ms: "10000",
  retry_after_ms: "60000",
  holders: 1,
  is_limited_tokens: true,
  is_limited_bytes: true,
};

/** A keeper whose application's buckets grant nothing for a minute. */
function shortKeeper() {
  const renew = vi.fn(async () => nothing);
  const limits = { leasableTokens: 100, leasableBytes: 100, isDirect: false };
  const options = {
    store: { isPaused: () => false },
    layer3: new Layer3(() => false),
    exchange: { renew },
    cache: { config: { application: "a", limits }, isOlderThan: () => false },
    counts: {
      carriedBy: (call: (counts: object) => unknown) => call({ denials: null, demand: null }),
    },
    owed: { chargeAll: async () => {} },
    pollMs: () => 5_000,
    onLease: () => {},
    onGrant: () => {},
  };
  return { keeper: new LeaseKeeper(options as unknown as LeaseKeeperOptions), renew };
}

test("an application short of a dear operation takes leases again for one at half its cost", async () => {
  const { keeper, renew } = shortKeeper();
  keeper.usual = need(1_000_000, 1_000);
  await keeper.renew();
  expect(renew).toHaveBeenCalledOnce();
  const now = performance.now();
  const isShortOf = (usual: Need, ms: number) => {
    keeper.usual = usual;
    return keeper.isShort(now + ms);
  };
  expect(isShortOf(need(1_000_000, 1_000), 59_000)).toBe(true);
  expect(isShortOf(need(900_000, 600), 59_000)).toBe(true);
  expect(isShortOf(need(500_000, 1_000), 1_100)).toBe(false);
  expect(isShortOf(need(1_000_000, 500), 1_100)).toBe(false);
  // Not sooner, so that a mix of operations costs few calls.
  expect(isShortOf(need(500_000, 1_000), 500)).toBe(true);
  expect(isShortOf(need(1_000_000, 1_000), 80_000)).toBe(false);
});
