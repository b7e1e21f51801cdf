import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { GraphQLError, parse } from "postgraphile/graphql";
import { UserError } from "../../user-error.ts";
import { ApiError } from "../api-error.ts";

/** Operations by the ids under which clients ask for them. */
export type PersistedOperations = ReadonlyMap<string, string>;

/** Reads a folder of files `<id>.graphql` once, at start: no request reads a file. */
export function persistedOperations(folder: string): PersistedOperations {
  const names = filesOf(folder).filter((name) => name.endsWith(".graphql"));
  if (names.length === 0) {
    throw invalid(`${folder} has no files that end in .graphql`);
  }
  return new Map(names.map((name) => [name.slice(0, -".graphql".length), read(folder, name)]));
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (cause) {
    throw invalid(`${folder} cannot be read`, cause);
  }
}

function read(folder: string, name: string): string {
  const text = readFileSync(join(folder, name), "utf8");
  try {
    parse(text);
    return text;
  } catch (cause) {
    if (cause instanceof GraphQLError) throw invalid(`${name} is not a query: ${cause.message}`);
    throw cause;
  }
}

function invalid(problem: string, cause?: unknown): UserError {
  return new UserError(
    "persisted_operations_invalid",
    `API_PERSISTED_OPERATIONS: ${problem}`,
    "Name a folder with a file <id>.graphql for each operation, or leave it out.",
    { cause },
  );
}

export interface NamesOperation {
  readonly id?: unknown;
  readonly documentId?: unknown;
  readonly extensions?: unknown;
}

/** The text of the operation that a request names, in the way of any of the usual clients. */
export function persistedQuery(body: NamesOperation, operations: PersistedOperations): string {
  const { persistedQuery: apollo } = Object(body.extensions);
  const text = operations.get(String(body.documentId ?? body.id ?? Object(apollo).sha256Hash));
  if (text !== undefined) return text;
  throw new ApiError(
    "QS403",
    "operation is not persisted",
    "Send the id of an operation that this server knows, as documentId.",
  );
}
