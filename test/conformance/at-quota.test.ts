import { expect, test } from "vitest";
import { addQuota, type ClientWorld, type Iops, makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { missing, startGateway } from "./virtual-drivers.ts";
import { startVirtualTime } from "./virtual-time.ts";

const [seconds, stepMs] = [6, 4];
const quotas: readonly Iops[] = [
  { limit: 200, method: "fixed_window" },
  { limit: 200 },
  { limit: 50 },
];

test.skipIf(missing !== undefined)(
  "applications that ask two workers for more than their quota have all of it, in ten exchanges a second",
  async () => {
    const database = await createDatabase();
    const owners: (ClientWorld & { readonly iops: Iops; admitted: number })[] = [];
    for (const iops of quotas) owners.push({ ...(await makeWorld(database)), iops, admitted: 0 });
    const time = await startVirtualTime(database);
    for (const owner of owners) await addQuota(database, owner, { iops: owner.iops });
    const gateway = startGateway(time, { workers: 2, callTakesMs: 5 });
    for (let ms = 0; ms < seconds * 1_000; ms += stepMs) {
      for (const owner of owners)
        void gateway.ask(owner.apiKey, "head", 1 + ((ms / stepMs) % 2)).then(({ allowed }) => {
          owner.admitted += allowed ? 1 : 0;
        });
      await time.advance(stepMs);
    }
    for (const { admitted, iops } of owners) {
      expect(admitted).toBeGreaterThanOrEqual(0.95 * seconds * iops.limit);
      // And a bucket that was full.
      expect(admitted).toBeLessThanOrEqual((seconds + 1) * iops.limit);
    }
    const { calls } = gateway;
    expect(calls.get("consume") ?? 0).toBe(0);
    expect(calls.get("exchange_leases")).toBeLessThanOrEqual(10 * seconds + 3);
  },
);
