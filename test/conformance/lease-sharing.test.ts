import { describe, expect, test } from "vitest";
import { addQuota, makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { simulate } from "./simulate.ts";
import { drivers, missing } from "./virtual-drivers.ts";
import { startVirtualTime } from "./virtual-time.ts";

if (missing !== undefined) console.warn(`the gateway is left out: ${missing}`);

const seconds = 20;
const isEven = (second: number) => second % 2 === 0;

describe.each(drivers)(
  "two of an application, each on for a second and off for one",
  ({ name, open }) => {
    // All of their leases hold at most the capacity of 100 together.
    test.each([
      [60, 30],
      [98, 49],
      [120, 60],
    ])(
      `${name}: at %i and %i a second of 100 wait for nothing, out of leases`,
      async (first, second) => {
        const database = await createDatabase();
        const world = await makeWorld(database);
        const time = await startVirtualTime(database);
        await addQuota(database, world, { iops: { limit: 100 } });
        const asker = (perSecond: number, isOn: (at: number) => boolean) => {
          return { caller: open(time, world), operation: "head", perSecond, isOn };
        };
        const outcomes = await simulate(
          time,
          [asker(first, isEven), asker(second, (at) => !isEven(at))],
          seconds,
        );
        for (const { asked, admitted, waited } of outcomes) {
          expect(asked).toBeGreaterThan(0);
          expect({ admitted, waited }).toEqual({ admitted: asked, waited: 0 });
        }
        const calls = [...time.calls].filter(([name]) => /consume|lease/.test(name));
        expect(calls.filter(([name]) => name.startsWith("consume"))).toEqual([]);
        const exchanges = calls.reduce((sum, [, count]) => sum + count, 0);
        expect(exchanges).toBeLessThanOrEqual(10 * seconds);
      },
    );
  },
);
