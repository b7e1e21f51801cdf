import { expect, test } from "vitest";
import { addQuota, type Iops, makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { missing, startGateway } from "./virtual-drivers.ts";
import { startVirtualTime } from "./virtual-time.ts";

const [applications, triesOfEach, tickMs] = [20, 5, 100];
const quotas: readonly Iops[] = [{ limit: 2 }, { limit: 1, method: "fixed_window", seconds: 10 }];

/** As the field Retry-After says it: in whole seconds. */
const waitOf = (retryAfterMs: number | null) => Math.max(Math.ceil((retryAfterMs ?? 0) / 1_000), 1);

test.skipIf(missing !== undefined)(
  "who waits as long as the gateway says is admitted, 99 times of 100",
  async () => {
    const database = await createDatabase();
    const time = await startVirtualTime(database);
    const gateway = startGateway(time);
    const sleeping: { readonly until: number; readonly wake: () => void }[] = [];
    const waitUntil = (until: number) =>
      new Promise<void>((wake) => void sleeping.push({ until, wake }));
    let [tried, admitted, running] = [0, 0, applications];

    async function tryOften(apiKey: string) {
      for (let turn = 0; turn < triesOfEach; turn += 1) {
        let verdict = await gateway.ask(apiKey, "read_small");
        while (verdict.allowed) verdict = await gateway.ask(apiKey, "read_small");
        expect(verdict.reason).toBe("iops_l2");
        await waitUntil(time.now() + waitOf(verdict.retry_after_ms) * 1_000);
        tried += 1;
        if ((await gateway.ask(apiKey, "read_small")).allowed) admitted += 1;
      }
      running -= 1;
    }

    const tries: Promise<void>[] = [];
    for (let number = 0; number < applications; number += 1) {
      const world = await makeWorld(database);
      await addQuota(database, world, { iops: quotas[number % quotas.length] as Iops });
      tries.push(tryOften(world.apiKey));
    }
    const failed = Promise.all(tries).then(() => undefined);
    while (running > 0) {
      await Promise.race([time.advance(tickMs), failed]);
      for (const { until, wake } of sleeping.splice(0)) {
        if (time.now() >= until) wake();
        else sleeping.push({ until, wake });
      }
    }
    expect(tried).toBe(applications * triesOfEach);
    expect(admitted).toBeGreaterThanOrEqual(0.99 * tried);
  },
  300_000,
);
