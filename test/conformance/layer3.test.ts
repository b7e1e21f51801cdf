import { describe, expect, onTestFinished, test, vi } from "vitest";
import { arrows } from "../../src/client/leases/layer3.ts";
import { openClientLayer3 } from "../client/layer3-world.ts";
import { type Layer3World, nameOf, wayTo } from "./layer3-ways.ts";
import { missing } from "./virtual-drivers.ts";
import { gatewayArrows, openGatewayLayer3 } from "./virtual-gateway.ts";

async function openClient(): Promise<Layer3World> {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  return openClientLayer3();
}

const machines = [
  { of: "the client", open: openClient, isMissing: false },
  { of: "the gateway", open: openGatewayLayer3, isMissing: missing !== undefined },
];

describe.each(machines)("what $of holds of an application", ({ open, isMissing }) => {
  test.skipIf(isMissing).each(arrows.map((arrow) => ({ name: nameOf(arrow), arrow })))(
    "goes from $name",
    async ({ arrow }) => {
      const [from, by, to] = arrow;
      const world = await open();
      await wayTo(arrow)(world);
      expect(await world.state()).toBe(from);
      await world[by]();
      expect(await world.state()).toBe(to);
    },
  );
});

test.skipIf(missing !== undefined)("both declare the same arrows", async () => {
  expect((await gatewayArrows()).map(nameOf).sort()).toEqual(arrows.map(nameOf).sort());
});
