import { InputError } from "../user-error.ts";
import { type DeclaredObject, declaredObjects } from "./declared-objects.ts";
import { documentsOf, type PlacedDocument } from "./placed-document.ts";
import { describeProblem, type Problem } from "./problem.ts";
import { RefusedConfiguration } from "./refused-configuration.ts";
import { schemaProblems } from "./schema-problems.ts";
import type { Source } from "./source.ts";

/** What files declare together. */
export interface Configuration {
  /** Its name; null for a change by hand, which manages nothing. */
  readonly managedBy: string | null;
  readonly objects: readonly DeclaredObject[];
}

const usualManager = "default";

/** All that the sources declare, or every problem in them at once. */
export function configurationOf(sources: readonly Source[]): Configuration {
  const documents = sources.flatMap(documentsOf);
  const problems = documents.flatMap(problemsOf);
  if (problems.length > 0) throw new RefusedConfiguration(problems);

  const objects = documents.flatMap((document) =>
    declaredObjects(document, (problem) => problems.push(problem)),
  );
  problems.push(...repeated(objects));
  const managers = new Map(documents.map((document) => [managerOf(document), document]));
  if (managers.size > 1) problems.push(...otherManagers(managers));
  if (problems.length > 0) throw new RefusedConfiguration(problems);
  const [managedBy = usualManager] = managers.keys();
  return { managedBy, objects };
}

/** A file that came out empty by mistake would end all that its configuration manages. */
export function requireSome({ objects }: Configuration): void {
  if (objects.length > 0) return;
  throw new InputError(
    "configuration_empty",
    "the configuration names nothing, and --prune would end all that it manages",
    "Check the files; add --allow-empty where all of it is to go.",
  );
}

function problemsOf(document: PlacedDocument): Problem[] {
  const { problems } = document;
  if (problems.length > 0) return [...problems, ...document.repeatedKeys];
  return [...document.repeatedKeys, ...schemaProblems(document)];
}

function managerOf(document: PlacedDocument): string {
  return (document.value as { managed_by?: string } | null)?.managed_by ?? usualManager;
}

function otherManagers(managers: ReadonlyMap<string, PlacedDocument>): Problem[] {
  const [first, ...others] = managers;
  return others.map(([, document]) =>
    document.problemAt(["managed_by"], `managed_by is ${first?.[0]} in another file`, "value"),
  );
}

function repeated(objects: readonly DeclaredObject[]): Problem[] {
  const known = new Map<string, DeclaredObject>();
  return objects.flatMap((object) => {
    const name = JSON.stringify([object.kind, ...object.path]);
    const first = known.get(name);
    known.set(name, first ?? object);
    if (first === undefined) return [];
    const place = describeProblem(first.problem("")).replace(/: $/, "");
    return [object.problem(`${titleOf(object)} is declared twice: before at ${place}`)];
  });
}

export function titleOf({ kind, path }: { kind: string; path: readonly string[] }): string {
  return `${kind.replaceAll("_", " ")} ${path.join("/")}`;
}
