import type { ZxcvbnFactory } from "@zxcvbn-ts/core";
import { ApiError } from "../api-error.ts";

export interface PasswordRules {
  readonly shortest: number;
  /** Names of the user and the tenant, which make a guess of the password. */
  readonly names: readonly string[];
}

const longest = 256;
/** The estimate takes time by the square of the length. */
const judgedCharacters = 40;
/** Of 0 to 4: more than a hundred million guesses. */
const leastScore = 3;

let estimator: Promise<ZxcvbnFactory> | undefined;

/** Refuses a password that is short, or among the first that are guessed. */
export async function checkPassword(
  password: string,
  { shortest, names }: PasswordRules,
): Promise<void> {
  const { length } = [...password];
  if (length < shortest) {
    throw new ApiError("QS422", "password is too short", `Use at least ${shortest} characters.`);
  }
  if (length > longest) {
    throw new ApiError("QS422", "password is too long", `Use at most ${longest} characters.`);
  }
  if ((await score(password, names)) < leastScore) {
    throw new ApiError(
      "QS422",
      "password is easy to guess",
      "Use several words that are unrelated, and none of a name, a date or a row of keys.",
    );
  }
}

async function score(password: string, names: readonly string[]): Promise<number> {
  estimator ??= loadEstimator();
  const judged = password.slice(0, judgedCharacters);
  return (await estimator).check(judged, names.flatMap(words)).score;
}

/** At the first new password: its lists of words take a while to load. */
async function loadEstimator(): Promise<ZxcvbnFactory> {
  const { ZxcvbnFactory } = await import("@zxcvbn-ts/core");
  const { adjacencyGraphs, dictionary } = await import("@zxcvbn-ts/language-common");
  return new ZxcvbnFactory({ dictionary, graphs: adjacencyGraphs });
}

function words(name: string): string[] {
  return [name, ...name.split(/[^\p{L}\p{N}]+/u)].filter((word) => word.length > 2);
}
