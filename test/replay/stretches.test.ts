import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Stretches } from "../../src/replay/stretches.ts";
import { Trace } from "../../src/replay/trace.ts";

const secondUs = 1_000_000n;

type Request = readonly [waitUs: number, allowed: boolean];

/** Of decisions in the order in which they came, at the times that are given. */
function longestOf(offsets: readonly bigint[], requests: readonly Request[]) {
  const stretches = new Stretches();
  for (const [index, [, allowed]] of requests.entries()) {
    stretches.add(offsets[index] as bigint, allowed);
  }
  return stretches.longest;
}

/** As a replay times the lines of a log that knows whole seconds alone. */
function spreadOverSeconds(offsets: readonly bigint[]): bigint[] {
  const trace = new Trace();
  for (const offset of offsets) trace.add((offset / secondUs) * secondUs, "head", 0n, "a");
  const spread = trace.spreadOverSeconds();
  return offsets.map((_, index) => spread.offsetUs(index));
}

describe("the longest throttled stretch", () => {
  it("of a log of whole seconds is true to a second at either end", () => {
    const requests = fc.array(fc.tuple(fc.nat(3_000_000), fc.boolean()), { maxLength: 60 });
    fc.assert(
      fc.property(requests, (log: readonly Request[]) => {
        let now = 0n;
        const offsets = log.map(([waitUs]) => {
          now += BigInt(waitUs);
          return now;
        });
        const [real, told] = [offsets, spreadOverSeconds(offsets)].map((times) => {
          const longest = longestOf(times, log);
          return longest === null ? undefined : longest.toUs - longest.fromUs;
        });
        if (real === undefined || told === undefined) return real === told;
        return told - real < 2n * secondUs && real - told < 2n * secondUs;
      }),
      { numRuns: 1_000 },
    );
  });

  it("of twelve that are denied within three seconds lasts from the first to the last", () => {
    const log: Request[] = [[0, true], ...Array.from({ length: 12 }, () => [0, false] as const)];
    const at = [0n, ...[1n, 2n, 3n].flatMap((second) => Array<bigint>(4).fill(second))];
    const offsets = spreadOverSeconds(at.map((second) => second * secondUs));
    expect(longestOf(offsets, log)).toEqual({
      ...{ operations: 12, fromUs: secondUs, toUs: 3n * secondUs + 750_000n },
    });
  });

  it("of one that is longer counts, not of more operations", () => {
    const log: Request[] = [false, false, false, true, false, false].map((allowed) => [0, allowed]);
    expect(longestOf([0n, 1n, 2n, 3n, 10n, 20n], log)).toEqual({
      ...{ operations: 2, fromUs: 10n, toUs: 20n },
    });
  });
});
