import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Files that take longest, longest first: begun late, one of them would run on alone at the end. */
const longest = [
  "sql/leases/lease-fairness",
  "replay/known-answers",
  "console/journeys",
  "vectors/vectors",
  "packaging/server-package",
  "console/administration",
  "packaging/client-package",
  "compose/processes",
  "cli/signals",
  "gateway/identities",
  "api/terms",
  "conformance/reservations",
  "migrations/bootstrap",
  "sql/reservations/reservations-simulation",
  "conformance/conformance",
  "start/start",
  "bench/measure",
  "migrations/layouts",
  "postgres/embedded-server",
  "worker/chaos",
  "gateway/give-back",
];

/** On a fresh clone nothing is known of how long a file takes, and its size tells little. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLongest = (file: TestSpecification) => placeOf(file) < longest.length;
    const first = sorted.filter(isLongest).sort((a, b) => placeOf(a) - placeOf(b));
    return [...first, ...sorted.filter((file) => !isLongest(file))];
  }
}

function placeOf({ moduleId }: TestSpecification): number {
  const place = longest.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
  return place === -1 ? longest.length : place;
}
