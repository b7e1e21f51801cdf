import { parse } from "yaml";
import { InputError } from "../user-error.ts";
import type { Fields } from "./resource.ts";

export interface Assignments {
  readonly given: Fields;
  readonly cleared: readonly string[];
}

/** Of `field=value`, `field.part=value` and `field=`: values are YAML, as in files. */
export function parseAssignments(texts: readonly string[]): Assignments {
  const given: Record<string, unknown> = {};
  const cleared: string[] = [];
  for (const text of texts) {
    const [, key = "", part, value = ""] = /^(\w+)(?:\.(\w+))?=(.*)$/s.exec(text) ?? [];
    if (key === "") throw invalid(text);
    if (value === "" && part === undefined) cleared.push(key);
    else if (part === undefined) given[key] = readValue(value, text);
    else given[key] = { ...partsOf(given[key]), [part]: readValue(value, text) };
  }
  return { given, cleared };
}

/** Where a field is written as its limit alone, its other parts are beside that limit. */
export function partsOf(value: unknown): Record<string, unknown> {
  if (value === undefined || value === null) return {};
  return typeof value === "object" ? { ...value } : { limit: value };
}

function readValue(value: string, text: string): unknown {
  try {
    return parse(value);
  } catch {
    throw invalid(text);
  }
}

function invalid(text: string): InputError {
  return new InputError(
    "assignment_invalid",
    `invalid assignment: ${text}`,
    'Write field=value, such as operations=500/s or bandwidth.burst="40 MB/s"; field= takes it back.',
  );
}
