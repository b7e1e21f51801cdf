/** An error whose reader can do something about it: the CLI prints message and hint, no stack. */
export class UserError extends Error {
  override readonly name: string = "UserError";
  readonly code: string;
  readonly hint: string | undefined;
  /** What is told before it, a line each, such as where in a file the reader has to look. */
  readonly findings: readonly string[] = [];
  readonly exitCode: number = 1;

  constructor(code: string, message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.hint = hint;
  }
}

/** Input or options that the reader can put right: the CLI exits with 2 instead of 1. */
export class InputError extends UserError {
  override readonly name: string = "InputError";
  override readonly exitCode: number = 2;
}
