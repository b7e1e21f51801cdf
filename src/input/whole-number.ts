import { UserError } from "../user-error.ts";

/** Of an option of the command line. */
export function wholeNumber(name: string, text: string, least: number, most: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number <= most) return number;
  throw new UserError(
    `${name}_invalid`,
    `invalid --${name}: ${text}`,
    `Give a whole number from ${least} to ${most}.`,
  );
}
