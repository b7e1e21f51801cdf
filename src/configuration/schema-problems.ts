import { Ajv, type ErrorObject } from "ajv";
import type { PlacedDocument } from "./placed-document.ts";
import type { Problem } from "./problem.ts";
import { configurationSchema } from "./schema.ts";

const ajv = new Ajv({
  allErrors: true,
  verbose: true,
  allowUnionTypes: true,
  strictTypes: false,
  strictRequired: false,
});
const isConfiguration = ajv.compile(configurationSchema());

/** Where a document does not fit the schema. */
export function schemaProblems(document: PlacedDocument): Problem[] {
  if (isConfiguration(document.value)) return [];
  const problems = (isConfiguration.errors ?? [])
    // These repeat what the branch or the name itself is told for.
    .filter(({ keyword }) => keyword !== "if" && keyword !== "propertyNames")
    .map((error) => problemOf(document, error));
  const unlike = new Map(problems.map((problem) => [JSON.stringify(problem), problem]));
  return [...unlike.values()];
}

function problemOf(document: PlacedDocument, error: ErrorObject): Problem {
  const path = pathOf(error.instancePath);
  if (error.propertyName !== undefined) {
    const name = [...path, error.propertyName];
    return document.problemAt(name, "the name is not one of 1 to 255 characters", "key");
  }
  switch (error.keyword) {
    case "additionalProperties": {
      const key = String(error.params.additionalProperty);
      const known = Object.keys((error.parentSchema?.properties as object | undefined) ?? {});
      return document.problemAt(
        [...path, key],
        `unknown key ${key}: known are ${known.join(", ")}`,
        "key",
      );
    }
    case "required":
      return document.problemAt(path, `the key ${error.params.missingProperty} is missing`, "key");
    default: {
      const title = String(error.parentSchema?.title ?? `as it should be (${error.message})`);
      return document.problemAt(path, `${path.at(-1) ?? "the file"} is not ${title}`, "value");
    }
  }
}

function pathOf(pointer: string): string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}
