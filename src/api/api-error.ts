/** An answer that says no: the same code, message and hint every time, as the database's errors. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: string;
  readonly hint: string;
  /** Further facts for programs, such as when to try again. */
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, hint: string, facts: Record<string, unknown> = {}) {
    super(message);
    this.code = code;
    this.hint = hint;
    this.facts = facts;
  }

  /** The code's last three digits are HTTP's. */
  get status(): number {
    return Number(this.code.slice(2));
  }

  get extensions(): Record<string, unknown> {
    return { code: this.code, hint: this.hint, ...this.facts };
  }
}

export function notSignedIn(): ApiError {
  return new ApiError("QS401", "not signed in", "Sign in, or refresh the session.");
}
