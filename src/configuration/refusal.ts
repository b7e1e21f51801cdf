import { type Configuration, titleOf } from "./configuration.ts";
import type { Problem } from "./problem.ts";
import { RefusedConfiguration } from "./refused-configuration.ts";

/** Why the database refuses an object; without an entry it is one that would be pruned. */
interface Refused {
  readonly entry?: number;
  readonly code: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly kind: string;
  readonly path: readonly string[];
}

/** What the database refused, at the lines that want it; undefined for any other error. */
export function refusalOf(
  error: unknown,
  configuration: Configuration,
): RefusedConfiguration | undefined {
  const { message, detail } = Object(error) as { message?: string; detail?: string };
  if (message !== "batch is refused" || detail === undefined) return undefined;
  const refused: readonly Refused[] = JSON.parse(detail);
  return new RefusedConfiguration(refused.map((each) => problemOf(each, configuration)));
}

function problemOf(refused: Refused, { objects }: Configuration): Problem {
  const { entry, code, message, detail, hint } = refused;
  const head = `${titleOf(refused)}: ${message} (${code})`;
  const said = [head, detail, hint].filter(Boolean).join(", ");
  const object = entry === undefined ? undefined : objects[entry - 1];
  return object?.problem(said) ?? { file: "pruned", line: 0, column: 0, message: said };
}
