import { InputError } from "../user-error.ts";

export function requireCount(text: string, option: string, most: number): number {
  const count = Number(text);
  if (/^\d{1,9}$/.test(text) && count >= 1 && count <= most) return count;
  throw new InputError(
    "count_invalid",
    `invalid ${option}: ${text}`,
    `Give a whole number from 1 to ${most}.`,
  );
}
