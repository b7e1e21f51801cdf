import { describe, expect, it } from "vitest";
import type { ReplayOptions } from "../../src/replay/replay-command.ts";
import { hasSharedTrace, sharedTrace } from "../shared.ts";
import { replayed } from "./replayed.ts";

const defaults: ReplayOptions = { method: "token_bucket", from: "0", json: true };

interface Known {
  readonly options: Partial<ReplayOptions>;
  readonly admitted: number;
  readonly throttled: number;
  readonly bytes_admitted: number;
  readonly decisions_sha256: string;
}

/** Computed by an independent implementation. */
const known: Known[] = [
  {
    options: { iops: "50:100:10" },
    admitted: 33763,
    throttled: 80109,
    bytes_admitted: 444705280,
    decisions_sha256: "79daa094e380c0df226a7c0a31ed2fdb9b0830597592625cdcd92854e01d4a75",
  },
  {
    options: { iops: "100:400:5", bandwidth: "1000000:4000000:10" },
    admitted: 40705,
    throttled: 73167,
    bytes_admitted: 539358720,
    decisions_sha256: "db81e50289f7c171985d0cce06b90c619a7e28809d20a5479dcb0fadbd1861e1",
  },
  {
    options: { bandwidth: "600000:600000:1" },
    admitted: 39687,
    throttled: 74185,
    bytes_admitted: 324012032,
    decisions_sha256: "79b39172834eaa9474613fe4f1cd74c3c62bdd13d046fae23446cc2fe25542b2",
  },
  {
    options: { iops: "40:40:5", method: "fixed_window" },
    admitted: 30222,
    throttled: 83650,
    bytes_admitted: 343540224,
    decisions_sha256: "253c869061d0b3fd6dd64bd442bc8208b78abd4f313878a2919d13986412250c",
  },
  {
    options: {
      iops: "200:200:1",
      clusterIops: "60:120:10",
      clusterBandwidth: "2000000:8000000:5",
    },
    admitted: 35252,
    throttled: 78620,
    bytes_admitted: 502715904,
    decisions_sha256: "c25a4f47a184984d81a66396e1a1164f1fd971cda6a0158ce009f9e68394a316",
  },
];

describe("a replay of two hours of real block I/O", () => {
  if (!hasSharedTrace) it.skip("../shared/data is not here");

  it.concurrent.each(hasSharedTrace ? known : [])(
    "reaches the known answer of $options",
    { timeout: 300_000 },
    async ({ options, ...answer }) => {
      const report = JSON.parse(await replayed(sharedTrace, { ...defaults, ...options }));
      expect(report).toMatchObject({ operations: 113_872, ...answer });
    },
  );
});
