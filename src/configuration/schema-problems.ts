import type { ErrorObject } from "ajv";
import type { PlacedDocument } from "./placed-document.ts";
import type { Problem } from "./problem.ts";
import { configurationSchema } from "./schema.ts";
import { compileSchema, findingOf, isFinding } from "./schema-findings.ts";

const isConfiguration = compileSchema(configurationSchema());

/** Where a document does not fit the schema. */
export function schemaProblems(document: PlacedDocument): Problem[] {
  if (isConfiguration(document.value)) return [];
  const problems = (isConfiguration.errors ?? [])
    .filter(isFinding)
    .map((error) => problemOf(document, error));
  const unlike = new Map(problems.map((problem) => [JSON.stringify(problem), problem]));
  return [...unlike.values()];
}

function problemOf(document: PlacedDocument, error: ErrorObject): Problem {
  const { path, message, where } = findingOf(error);
  return document.problemAt(path, message, where);
}
