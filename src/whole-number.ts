import { UserError } from "./user-error.ts";

/** A setting of the environment, or what is usual where it is not set. */
export function wholeNumber(
  env: NodeJS.ProcessEnv,
  name: string,
  usual: number,
  least: number,
): number {
  const text = env[name];
  if (!text) return usual;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new UserError(
    "setting_invalid",
    `invalid ${name}: not a whole number >= ${least}: ${text}`,
  );
}
