import { kindOf } from "./store/classify-error.ts";

/** An error of the database or the client: its SQLSTATE, and what to do about it. */
export class LimiterError extends Error {
  override readonly name: string = "LimiterError";
  /** SQLSTATE, of the class QS where the product raised it, such as QS404. */
  readonly code: string;
  /** The HTTP status that says the same. */
  readonly status: number;
  readonly detail: string | undefined;
  readonly hint: string | undefined;

  constructor(code: string, message: string, more: ErrorText = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.status = /^QS\d{3}$/.test(code) ? Number(code.slice(2)) : 500;
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

/** The application, operation, lease or reference was not found. */
export class NotFoundError extends LimiterError {
  override readonly name = "NotFoundError";
}

/** Conflicts with what is recorded: a reference of another operation, a settled lease. */
export class ConflictError extends LimiterError {
  override readonly name = "ConflictError";
}

/** Expired, such as a lease. */
export class GoneError extends LimiterError {
  override readonly name = "GoneError";
}

/** The request is invalid, such as a negative size or a blank reference. */
export class InvalidRequestError extends LimiterError {
  override readonly name = "InvalidRequestError";
}

/** The database is unreachable or does not answer in time. */
export class UnavailableError extends LimiterError {
  override readonly name = "UnavailableError";
}

export function unavailable(detail?: string, options?: ErrorOptions): UnavailableError {
  return new UnavailableError("QS503", "the database does not answer", { detail }, options);
}

/**
 * The database answers and could not decide on this application in time: a lock was held too long,
 * or the caller's own pool has no free connection. Nothing was charged.
 */
export class BusyError extends LimiterError {
  override readonly name = "BusyError";

  constructor(detail: string | undefined, cause: unknown) {
    super("QS503", "the database is busy", { detail, hint: "Ask again in a moment." }, { cause });
  }
}

/** The database raised an error that is neither the request's fault nor an outage. */
export class DatabaseError extends LimiterError {
  override readonly name = "DatabaseError";
}

/** The caller's signal ended the wait. */
export class AbortedError extends LimiterError {
  override readonly name = "AbortedError";

  constructor(cause: unknown) {
    super("QS499", "the wait was aborted", {}, { cause });
  }
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
  QS409: ConflictError,
  QS410: GoneError,
  QS422: InvalidRequestError,
};

/** The typed error for an error of the driver. */
export function fromDatabase(error: unknown): LimiterError {
  if (error instanceof LimiterError) return error;
  const { code = "", message = "", detail, hint } = error as Partial<LimiterError>;
  const options = { cause: error };
  const known = classes[code] ?? (code.startsWith("QS") ? LimiterError : undefined);
  if (known !== undefined) return new known(code, message, { detail, hint }, options);
  // A value that PostgreSQL cannot store, such as text with a NUL, or undefined.
  if (code.startsWith("22") || code === "UNDEFINED_VALUE") {
    const hint = "Give values that PostgreSQL can hold.";
    return new InvalidRequestError("QS422", message, { detail, hint }, options);
  }
  return fromForeign(error, code, message, { detail, hint });
}

function fromForeign(error: unknown, code: string, message: string, text: ErrorText): LimiterError {
  const kind = kindOf(error);
  if (kind === "busy") return new BusyError(message, error);
  if (kind === "outage" || kind === "conflict") return unavailable(message, { cause: error });
  return new DatabaseError(code, message, text, { cause: error });
}

/** Whether the error concerns the application itself and persists until a change. */
export function deniesApplication(error: LimiterError): boolean {
  return ["QS401", "QS403", "QS404"].includes(error.code);
}

/** Whether a call for many applications failed because of one of them, and not for all. */
export function isOfOneApplication(error: LimiterError): boolean {
  if (error instanceof UnavailableError || error instanceof ClosedError) return false;
  // An exhausted pool concerns all.
  return !(error instanceof BusyError && error.cause instanceof UnavailableError);
}
