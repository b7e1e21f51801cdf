import { InputError } from "../user-error.ts";

const moment =
  /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?))? ?(Z|[+-]\d\d:?\d\d)?$/;

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
