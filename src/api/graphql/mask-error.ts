import { randomUUID } from "node:crypto";
import { isSafeError } from "postgraphile/grafast";
import { GraphQLError } from "postgraphile/graphql";
import { logFor } from "../../log.ts";
import { ApiError } from "../api-error.ts";
import { currentRequest } from "../current-request.ts";
import { constraintHints } from "./constraint-hints.ts";

const log = logFor("api");

interface PublicError {
  readonly message: string;
  readonly extensions: Readonly<Record<string, unknown>>;
}

const unavailableHint = "Try again when retryAfterMs is over.";

/** What PostgreSQL itself refuses, in the words of this API. Its own words name tables. */
export const refusals: Readonly<
  Record<string, readonly [code: string, message: string, hint: string]>
> = {
  "42501": ["QS403", "permission denied", "Ask an administrator for a role that allows it."],
  "23505": ["QS409", "already exists", "Another row has this key or name."],
  "23503": ["QS409", "something else refers to it, or it refers to nothing", "Check the ids."],
  "23514": ["QS422", "value is out of bounds", "See the description of the field."],
  "23502": ["QS422", "value is missing", "Give every field that the description asks for."],
  "23P01": ["QS409", "overlaps with another one", "End that one first, or choose another time."],
  "22001": ["QS422", "value is too long", "See the description of the field."],
  "22003": ["QS422", "number is out of range", "See the description of the field."],
  "22007": ["QS400", "value is not of its type", "Write it as the scalar's description says."],
  "22009": ["QS400", "value is not of its type", "A time zone is fifteen hours away at most."],
  "22023": ["QS400", "value is not of its type", "Write it as the scalar's description says."],
  "22008": ["QS422", "moment is out of range", "Give a moment nearer to the present."],
  "22015": ["QS422", "number is out of range", "Give a shorter span of time."],
  "2201W": ["QS422", "number is out of range", "first and last are zero or more."],
  "2201X": ["QS422", "number is out of range", "offset is zero or more."],
  "22021": ["QS400", "text cannot be stored", "Leave out the character with the code 0."],
  "22P05": ["QS400", "text cannot be stored", "Leave out the character with the code 0."],
  "22P02": ["QS400", "value is not of its type", "Write it as the scalar's description says."],
  "40001": ["QS409", "row was changed concurrently", "Try again."],
  "40P01": ["QS409", "row was changed concurrently", "Try again."],
  "55P03": ["QS409", "row is locked by another transaction", "Try again."],
  "25006": ["QS503", "database is not available", unavailableHint],
  "57P01": ["QS503", "database is not available", unavailableHint],
  "57P02": ["QS503", "database is not available", unavailableHint],
  "57P03": ["QS503", "database is not available", unavailableHint],
  "57014": ["QS503", "query took too long", "Ask for less at once."],
  "53300": ["QS503", "database is busy", "Try again later."],
};

/** Passes on errors that are meant for clients; logs all others under an id. */
export function maskError(production: boolean, told: (code: unknown) => void) {
  return (error: GraphQLError): GraphQLError => {
    const { message, extensions } = publicError(error, production);
    // Those of HTTP are counted where validation's and the transport's have codes as well.
    if (currentRequest.getStore() === undefined) told(extensions.code);
    const { nodes = null, source = null, positions = null, path = null } = error;
    return new GraphQLError(message, { nodes, source, positions, path, extensions });
  };
}

const documentHint = "Compare the request with schema.graphql.";

function publicError(error: GraphQLError, production: boolean): PublicError {
  const cause = originOf(error);
  if (cause === undefined) {
    const message = production ? withoutSuggestion(error.message) : error.message;
    return { message, extensions: ownExtensions(error) };
  }
  return meantToBeRead(cause) ?? unexpected(cause, production);
}

/** Names of fields that a caller may not ask the schema for. */
export function withoutSuggestion(message: string): string {
  return message.replace(/ Did you mean .*\?$/s, "");
}

/** GraphQL wraps errors in errors, sometimes more than once. */
function originOf(error: GraphQLError): Error | undefined {
  let cause: Error | undefined = error;
  while (cause instanceof GraphQLError) cause = cause.originalError;
  return cause ?? undefined;
}

function ownExtensions(error: GraphQLError): Record<string, unknown> {
  return { code: "QS400", hint: documentHint, ...error.extensions };
}

interface DatabaseError extends Error {
  readonly code?: string;
  readonly detail?: string;
  readonly hint?: string;
  readonly constraint?: string;
  readonly constraint_name?: string;
}

/** Also serves the routes beside GraphQL. */
export function meantToBeRead(error: DatabaseError): PublicError | undefined {
  if (error instanceof ApiError) return { message: error.message, extensions: error.extensions };
  if (isSafeError(error)) {
    return {
      message: error.message,
      extensions: { code: "QS400", hint: documentHint, ...error.extensions },
    };
  }
  const { code = "", detail, hint } = error;
  if (/^QS\d{3}$/.test(code)) {
    return { message: error.message, extensions: { code, detail, hint } };
  }
  if (missesItsRow(error)) {
    const extensions = { code: "QS404", hint: "Check the id: what you may not see is not there." };
    return { message: "nothing to change", extensions };
  }
  if (isEmptyFilter(error)) {
    const extensions = { code: "QS400", hint: "Leave out what is to filter nothing." };
    return { message: "filter says nothing", extensions };
  }
  return refusalOf(error) ?? (isDatabaseAway(error) ? databaseAway() : undefined);
}

/** Codes of the network and of both drivers, and the words of the one that has no codes. */
function isDatabaseAway({ code = "", message }: DatabaseError): boolean {
  return (
    /^(08...|ECONN\w+|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/.test(code) ||
    /^CONNECT(ION)?_\w+$/.test(code) ||
    /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Client was closed)/.test(
      message,
    )
  );
}

function databaseAway(): PublicError {
  return {
    message: "database is not available",
    extensions: { code: "QS503", hint: unavailableHint, retryAfterMs: 1_000 },
  };
}

/** The words of its plugin for filters. */
function isEmptyFilter({ message }: Error): boolean {
  return /^(Empty objects|Null literals) are forbidden in filter argument input/.test(message);
}

/** PostGraphile's words for an update or delete that found no row that it may change. */
function missesItsRow({ message }: Error): boolean {
  return /^No values were (updated|deleted) in collection/.test(message);
}

function refusalOf(error: DatabaseError): PublicError | undefined {
  const [code, message, usualHint] = refusals[error.code ?? ""] ?? [];
  if (code === undefined || message === undefined) return undefined;
  // A constraint's name says which rule, and no value.
  const constraint = error.constraint ?? error.constraint_name;
  const hint = constraintHints[constraint ?? ""] ?? usualHint;
  return { message, extensions: { code, hint, ...(constraint && { constraint }) } };
}

export function unexpected(err: Error, production: boolean): PublicError {
  const errorId = randomUUID();
  const { requestId } = currentRequest.getStore() ?? {};
  log.error({ err, errorId, requestId }, "unexpected error");
  return {
    message: production ? "unexpected error" : err.message,
    extensions: { code: "QS500", errorId, hint: "The log tells more under this id." },
  };
}
