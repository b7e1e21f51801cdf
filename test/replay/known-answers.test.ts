import { parseArgs } from "node:util";
import { describe, expect, it } from "vitest";
import type { ReplayOptions } from "../../src/replay/replay-command.ts";
import { hasSharedTrace, sharedTrace } from "../shared.ts";
import known from "../vectors/replay-answers.json" with { type: "json" };
import { replayed } from "./replayed.ts";

/** The options of a command line, by the names that the command gives them. */
function optionsOf(line: string): ReplayOptions {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: line.split(" "),
    options: {
      iops: text,
      bandwidth: text,
      "cluster-iops": text,
      "cluster-bandwidth": text,
      method: { ...text, default: "token_bucket" },
    },
  });
  const { "cluster-iops": clusterIops, "cluster-bandwidth": clusterBandwidth, ...rest } = values;
  return {
    ...rest,
    ...(clusterIops !== undefined && { clusterIops }),
    ...(clusterBandwidth !== undefined && { clusterBandwidth }),
    from: "0",
    json: true,
  };
}

/** Each takes a minute or two: the one that draws on most of the code, and in .ci/full all of them. */
const answers = process.env.QOS_TEST_FULL
  ? known
  : known.filter(({ options }) => options.includes("cluster"));

/** The answers were computed by an independent implementation. */
describe("a replay of two hours of real block I/O", () => {
  if (!hasSharedTrace) it.skip("the trace does not lie beside the project");

  it.concurrent.each(hasSharedTrace ? answers : [])(
    "reaches the known answer of $options",
    { timeout: 600_000 },
    async ({ options, trace, ...answer }) => {
      expect(sharedTrace).toContain(trace);
      const report = JSON.parse(await replayed(sharedTrace, optionsOf(options)));
      expect(report).toMatchObject({ operations: 113_872, ...answer });
    },
  );
});
