import { InputError } from "../user-error.ts";

/** `LIMIT:BURST:SECONDS`: the limit is the refill, the burst holds for that many seconds. */
export interface QuotaNumbers {
  readonly limit: number;
  readonly burst: number;
  readonly seconds: number;
}

export const METHODS = ["token_bucket", "leaky_bucket", "fixed_window"] as const;
export type Method = (typeof METHODS)[number];

/** The ranges of the columns that the numbers go into. */
const LARGEST_INTEGER = 2_147_483_647;

export function parseIops(text: string, option: string): QuotaNumbers {
  return parseQuota(text, option, LARGEST_INTEGER);
}

export function parseBandwidth(text: string, option: string): QuotaNumbers {
  return parseQuota(text, option, Number.MAX_SAFE_INTEGER);
}

export function parseMethod(text: string): Method {
  const method = METHODS.find((known) => known === text);
  if (method !== undefined) return method;
  throw badOption("--method", "is not a method", `Give one of ${METHODS.join(", ")}.`);
}

export function parseCount(text: string, option: string): number {
  const count = wholeNumber(text);
  if (count !== undefined && count <= Number.MAX_SAFE_INTEGER) return count;
  throw badOption(
    option,
    "is not a whole number",
    `Give ${option} a count of operations, for example 1000.`,
  );
}

function parseQuota(text: string, option: string, largest: number): QuotaNumbers {
  const example = "Give it as LIMIT:BURST:SECONDS, for example 50:100:10.";
  const numbers = text.split(":").map(wholeNumber);
  const [limit, burst, seconds] = numbers;
  if (numbers.length !== 3 || limit === undefined || burst === undefined || seconds === undefined) {
    throw badOption(option, "is not three whole numbers", example);
  }
  if (limit < 1 || seconds < 1) throw badOption(option, "must have no zero", example);
  if (burst < limit) throw badOption(option, "has a burst below its limit", example);
  if (burst > largest || seconds > LARGEST_INTEGER) {
    const most = `The limit and the burst are at most ${largest}, the seconds ${LARGEST_INTEGER}.`;
    throw badOption(option, "is too large", most);
  }
  return { limit, burst, seconds };
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,16}$/.test(text) ? Number(text) : undefined;
}

function badOption(option: string, what: string, hint: string): InputError {
  return new InputError("bad_option", `the value of ${option} ${what}`, hint);
}
