import { InputError } from "../user-error.ts";

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const jobId = /^[1-9]\d{0,17}$/;
const moment =
  /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?))? ?(Z|[+-]\d\d:?\d\d)?$/;

/** Ids that a command was given; SQL would answer a wrong one with an error of its own. */
export function requireUuids(ids: readonly string[], hint: string): void {
  requireAll(ids, uuid, "id_invalid", "id", hint);
}

export function requireJobIds(ids: readonly string[]): void {
  requireAll(ids, jobId, "id_invalid", "job id", "Give numbers as jobs failed lists them.");
}

/** A moment as SQL and JavaScript read it alike; one without an offset is in UTC. */
export function requireMoment(text: string, option: string): string {
  const [, date, time = "00:00", offset = "Z"] = moment.exec(text) ?? [];
  const whole = `${date}T${time}${offset}`;
  if (date !== undefined && !Number.isNaN(Date.parse(whole))) return whole;
  throw new InputError(
    "moment_invalid",
    `invalid ${option}: ${text}`,
    "Give a moment such as 2026-01-01T00:00Z.",
  );
}

export function requireSpan(from: string, to: string): void {
  if (Date.parse(from) < Date.parse(to)) return;
  throw new InputError("span_invalid", `${from} is not before ${to}`, "Give --from before --to.");
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
