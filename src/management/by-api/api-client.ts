import { UserError } from "../../user-error.ts";

/** Where the admin API is, and who asks. */
export interface ApiTarget {
  readonly url: string;
  readonly token: string;
}

export interface ApiClient {
  /** The data of an answer; raises what the API refuses. */
  ask<Data>(query: string, variables?: object, options?: AskOptions): Promise<Data>;
}

export interface AskOptions {
  /** Whether it is done and taken back. */
  readonly isRehearsal?: boolean;
}

/** What the API refuses, in the form of the database's own errors: people read both alike. */
export class ApiRefusal extends Error {
  readonly code: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;

  constructor({ message, extensions = {} }: GraphqlError) {
    super(message);
    this.code = extensions.code ?? "QS500";
    this.detail = extensions.detail;
    this.hint = extensions.hint;
  }
}

interface GraphqlError {
  readonly message: string;
  readonly extensions?: Readonly<Partial<Record<"code" | "detail" | "hint", string>>>;
}

interface Answer<Data> {
  readonly data?: Data;
  readonly errors?: readonly GraphqlError[];
}

/** Longer than the API gives a statement. */
const timeoutMs = 120_000;

export function apiClient({ url, token }: ApiTarget): ApiClient {
  return {
    async ask<Data>(query: string, variables: object = {}, options: AskOptions = {}) {
      const { data, errors } = await post<Data>(url, {
        method: "POST",
        // A token goes to the address that it was given for, and to no other.
        redirect: "error",
        headers: {
          ...{ "content-type": "application/json", authorization: `Bearer ${token}` },
          ...(options.isRehearsal && { "x-dry-run": "true" }),
        },
        body: JSON.stringify({ query, variables }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      const [refused] = errors ?? [];
      if (refused !== undefined) throw new ApiRefusal(refused);
      if (data === undefined) throw notTheApi(url);
      return data;
    },
  };
}

async function post<Data>(url: string, request: RequestInit): Promise<Answer<Data>> {
  const response = await fetch(new URL("graphql", withSlash(url)), request).catch(
    (error: Error) => {
      throw unreachable(url, error);
    },
  );
  return response.json().catch(() => {
    throw notTheApi(url);
  }) as Promise<Answer<Data>>;
}

function withSlash(url: string): string {
  return url.endsWith("/") ? url : `${url}/`;
}

function unreachable(url: string, cause: Error): UserError {
  const why = cause.cause instanceof Error ? cause.cause.message : cause.message;
  return new UserError(
    "api_unreachable",
    `the API at ${url} does not answer: ${why}`,
    "Check QOS_URL or the profile, and whether the API runs.",
    { cause },
  );
}

function notTheApi(url: string): UserError {
  return new UserError(
    "api_not_found",
    `what answers at ${url} is not the admin API`,
    "Name the address that storage-qos api prints, without /graphql.",
  );
}
