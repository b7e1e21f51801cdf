/** What the database says of a refused request: its SQLSTATE, and what to do about it. */
export class LimiterError extends Error {
  override readonly name: string = "LimiterError";
  /** SQLSTATE of the class QS, such as QS404. */
  readonly code: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;

  constructor(code: string, message: string, more: ErrorText = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.detail = more.detail;
    this.hint = more.hint;
  }
}

interface ErrorText {
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
}

/** The key is unknown, revoked or has expired. */
export class UnauthorizedError extends LimiterError {
  override readonly name = "UnauthorizedError";
}

/** The application, its tenant or the operation is inactive. */
export class ForbiddenError extends LimiterError {
  override readonly name = "ForbiddenError";
}

/** There is no such application, operation, lease or reference. */
export class NotFoundError extends LimiterError {
  override readonly name = "NotFoundError";
}

/** It is over: a lease that expired. */
export class GoneError extends LimiterError {
  override readonly name = "GoneError";
}

/** The request makes no sense: a negative size, a blank reference. */
export class InvalidRequestError extends LimiterError {
  override readonly name = "InvalidRequestError";
}

/** Nobody answered: the database is out of reach, too slow, or ill. */
export class UnavailableError extends LimiterError {
  override readonly name = "UnavailableError";
}

export function unavailable(detail?: string, options?: ErrorOptions): UnavailableError {
  return new UnavailableError("QS503", "the database does not answer", { detail }, options);
}

/** The limiter was closed. */
export class ClosedError extends LimiterError {
  override readonly name = "ClosedError";

  constructor() {
    super("QS503", "limiter is closed", { hint: "Make a new one." });
  }
}

const classes: Readonly<Record<string, typeof LimiterError>> = {
  QS400: InvalidRequestError,
  QS401: UnauthorizedError,
  QS403: ForbiddenError,
  QS404: NotFoundError,
  QS410: GoneError,
  QS422: InvalidRequestError,
};

/** The typed error for whatever a query threw; what neither we nor a bad value caused is an outage. */
export function fromDatabase(error: unknown): LimiterError {
  if (error instanceof LimiterError) return error;
  const { code, message, detail, hint } = error as Partial<LimiterError>;
  const options = { cause: error };
  const known = code === undefined ? undefined : classes[code];
  if (known !== undefined) return new known(code ?? "", message ?? "", { detail, hint }, options);
  if (code?.startsWith("QS"))
    return new LimiterError(code, message ?? "", { detail, hint }, options);
  // A value that no statement could take, such as a text with a NUL in it, or none at all.
  if (code?.startsWith("22") || code === "UNDEFINED_VALUE") {
    const hint = "Give values that PostgreSQL can hold.";
    return new InvalidRequestError("QS422", message ?? "", { detail, hint }, options);
  }
  return unavailable(message, options);
}

/** Whether the database refused the application itself, until somebody changes something. */
export function refusesApplication(error: LimiterError): boolean {
  return ["QS401", "QS403", "QS404"].includes(error.code);
}
