import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import type { Path } from "./placed-document.ts";

const ajv = new Ajv({
  allErrors: true,
  verbose: true,
  allowUnionTypes: true,
  strictTypes: false,
  strictRequired: false,
  // Takes longer than the checks of a large file that it makes shorter.
  code: { optimize: false },
});

export function compileSchema(schema: object): ValidateFunction {
  return ajv.compile(schema);
}

/** What does not fit a schema, in words, and where. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  readonly where: "key" | "value";
}

/** The others repeat what a branch or a name itself is told for. */
export function isFinding({ keyword }: ErrorObject): boolean {
  return keyword !== "if" && keyword !== "propertyNames";
}

export function findingOf(error: ErrorObject): Finding {
  const path = pathOf(error.instancePath);
  if (error.propertyName !== undefined) {
    const message = "the name is not one of 1 to 255 characters";
    return { path: [...path, error.propertyName], message, where: "key" };
  }
  switch (error.keyword) {
    case "additionalProperties": {
      const key = String(error.params.additionalProperty);
      const known = Object.keys((error.parentSchema?.properties as object | undefined) ?? {});
      const message = `unknown key ${key}: known are ${known.join(", ")}`;
      return { path: [...path, key], message, where: "key" };
    }
    case "required":
      return { path, message: `the key ${error.params.missingProperty} is missing`, where: "key" };
    default: {
      const title = String(error.parentSchema?.title ?? `as it should be (${error.message})`);
      return { path, message: `${path.at(-1) ?? "the file"} is not ${title}`, where: "value" };
    }
  }
}

function pathOf(pointer: string): string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}
