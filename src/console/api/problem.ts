import type { CombinedError } from "urql";

/** What the API says is wrong, and what to do about it. */
export class Problem extends Error {
  readonly code: string | undefined;
  readonly hint: string | undefined;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(message: string, facts: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.code = typeof facts.code === "string" ? facts.code : undefined;
    this.hint = typeof facts.hint === "string" ? facts.hint : undefined;
    this.facts = facts;
  }
}

export function problemOf(error: {
  readonly message: string;
  readonly extensions?: Readonly<Record<string, unknown>>;
}): Problem {
  return new Problem(error.message, error.extensions);
}

/** The first of the errors of an answer. */
export function problemOfAnswer(error: CombinedError | undefined): Problem | undefined {
  if (error === undefined) return undefined;
  const [first] = error.graphQLErrors;
  if (first !== undefined) return problemOf(first);
  return new Problem("the server cannot be reached", { hint: "This is tried again by itself." });
}
