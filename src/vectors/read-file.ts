import { readFile } from "node:fs/promises";
import { Ajv, type ErrorObject } from "ajv";
import { InputError } from "../user-error.ts";
import { type VectorFile, vectorSchema } from "./format.ts";

const isVectorFile = new Ajv({ allowUnionTypes: true }).compile(vectorSchema);

/** The file and, as the database takes it, its text. */
export async function readVectorFile(path: string): Promise<{ file: VectorFile; json: string }> {
  const json = await textOf(path);
  const file = parsed(json, path);
  if (!isVectorFile(file)) throw malformed(path, describe(isVectorFile.errors ?? []));
  const { steps, expect } = file;
  if (expect !== undefined && expect.length !== steps.length) {
    throw malformed(path, `it has ${steps.length} steps and ${expect.length} answers in expect`);
  }
  return { file, json };
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new InputError(
      "vectors_unreadable",
      `the vector file ${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`,
      "Check that the path names a file and that you may read it.",
      { cause },
    );
  }
}

function parsed(json: string, path: string): unknown {
  try {
    return JSON.parse(json, exactNumber);
  } catch (cause) {
    throw malformed(path, `it is not JSON: ${(cause as Error).message}`);
  }
}

/** Integers that a number of JavaScript cannot hold stay as they were written. */
function exactNumber(_key: string, value: unknown, context?: { source?: string }): unknown {
  const isRounded = Number.isInteger(value) && !Number.isSafeInteger(value);
  return isRounded && context?.source !== undefined ? context.source : value;
}

/** Of a step that fits no call, the cause comes first and "must match then" last. */
function describe(errors: readonly ErrorObject[]): string {
  const [first] = errors;
  if (first === undefined) return "it has another shape";
  const place = first.instancePath === "" ? "it" : first.instancePath;
  const allowed = first.keyword === "enum" ? `: ${first.params.allowedValues.join(", ")}` : "";
  return `${place} ${first.message}${allowed}`;
}

export function malformed(path: string, what: string): InputError {
  return new InputError(
    "vectors_malformed",
    `the vector file ${path} is malformed: ${what}`,
    "A vector file is a JSON object with epoch, applications, quotas, steps and expect.",
  );
}
