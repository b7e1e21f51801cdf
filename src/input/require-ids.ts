import { InputError } from "../user-error.ts";

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const jobId = /^[1-9]\d{0,17}$/;

/** Ids that a command was given; SQL would answer a wrong one with an error of its own. */
export function requireUuids(ids: readonly string[], hint: string): void {
  requireAll(ids, uuid, "id_invalid", "id", hint);
}

export function requireJobIds(ids: readonly string[]): void {
  requireAll(ids, jobId, "id_invalid", "job id", "Give numbers as jobs failed lists them.");
}

function requireAll(
  texts: readonly string[],
  pattern: RegExp,
  code: string,
  what: string,
  hint: string,
): void {
  const wrong = texts.find((text) => !pattern.test(text));
  if (wrong !== undefined) throw new InputError(code, `invalid ${what}: ${wrong}`, hint);
}
