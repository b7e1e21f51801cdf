import { time } from "../configuration/forms/quantity.ts";
import { InputError } from "../user-error.ts";

/** Seconds of a time such as 24h, up to what a span of SQL takes. */
export function requireTime(text: string, option: string): string {
  const seconds = time.read(text);
  if (seconds !== undefined && Number(seconds) > 0 && Number(seconds) < 2 ** 31) {
    return String(seconds);
  }
  throw new InputError("time_invalid", `invalid ${option}: ${text}`, "Give a time such as 24h.");
}
