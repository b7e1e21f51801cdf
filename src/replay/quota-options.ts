import { sizeInBytes } from "../decide/size.ts";
import { InputError } from "../user-error.ts";
import { largestSize } from "./formats/sizes.ts";

/** `LIMIT:BURST:SECONDS`: the limit is the refill, the burst holds for that many seconds. */
export interface QuotaNumbers {
  readonly limit: number;
  readonly burst: number;
  readonly seconds: number;
}

export const methods = ["token_bucket", "leaky_bucket", "fixed_window"] as const;
export type Method = (typeof methods)[number];

/** The ranges of the columns that the numbers go into. */
const largestInteger = 2_147_483_647;

export function parseBytes(text: string, option: string): bigint {
  const bytes = bytesOf(text);
  if (bytes !== undefined && bytes <= largestSize) return bytes;
  throw badOption(option, "is not a size", `Give ${option} bytes, for example 65536 or 64KiB.`);
}

/** A share such as 5% or 0.5%, in millionths. */
export function parseShare(text: string, option: string): number {
  const [, percent = ""] = /^(\d{1,3}(?:\.\d{1,4})?)%$/.exec(text) ?? [];
  if (percent !== "" && Number(percent) <= 100) return Math.round(Number(percent) * 10_000);
  throw badOption(option, "is not a share", `Give ${option} a percentage, for example 5%.`);
}

export function parseIops(text: string, option: string): QuotaNumbers {
  return parseQuota(text, option, largestInteger, "50:100:10");
}

export function parseBandwidth(text: string, option: string): QuotaNumbers {
  return parseQuota(text, option, Number.MAX_SAFE_INTEGER, "1MB:4MB:10");
}

export function parseMethod(text: string): Method {
  const method = methods.find((known) => known === text);
  if (method !== undefined) return method;
  throw badOption("--method", "is not a method", `Give one of ${methods.join(", ")}.`);
}

export function parseCount(text: string, option: string): number {
  const count = /^\d{1,16}$/.test(text) ? Number(text) : undefined;
  if (count !== undefined && count <= Number.MAX_SAFE_INTEGER) return count;
  throw badOption(
    option,
    "is not a whole number",
    `Give ${option} a count of operations, for example 1000.`,
  );
}

function parseQuota(text: string, option: string, largest: number, good: string): QuotaNumbers {
  const example = `Give it as LIMIT:BURST:SECONDS, for example ${good}.`;
  const numbers = text.split(":").map(numberOf);
  const [limit, burst, seconds] = numbers;
  if (numbers.length !== 3 || limit === undefined || burst === undefined || seconds === undefined) {
    throw badOption(option, "is not three whole numbers", example);
  }
  if (limit < 1 || seconds < 1) throw badOption(option, "must have no zero", example);
  if (burst < limit) throw badOption(option, "has a burst below its limit", example);
  if (burst > largest || seconds > largestInteger) {
    const most = `The limit and the burst are at most ${largest}, the seconds ${largestInteger}.`;
    throw badOption(option, "is too large", most);
  }
  return { limit, burst, seconds };
}

/** Bytes, with a unit or without. */
function bytesOf(text: string): bigint | undefined {
  try {
    return BigInt(sizeInBytes(text));
  } catch {
    return undefined;
  }
}

function numberOf(text: string): number | undefined {
  const bytes = bytesOf(text);
  return bytes !== undefined && bytes <= 10n ** 16n ? Number(bytes) : undefined;
}

function badOption(option: string, what: string, hint: string): InputError {
  return new InputError("bad_option", `the value of ${option} ${what}`, hint);
}
