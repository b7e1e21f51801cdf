/**
 * Something the caller can put right: bad input or bad options. It has a stable code to look up,
 * and a hint that says what to do. A command prints it and exits with 2.
 */
export class Problem extends Error {
  readonly code: string;
  readonly hint: string;

  constructor(code: string, message: string, hint: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "Problem";
    this.code = code;
    this.hint = hint;
  }
}
