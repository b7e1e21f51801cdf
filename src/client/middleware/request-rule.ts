import type { Decision } from "../decisions/decision.ts";
import { headersFor } from "../decisions/headers-for.ts";
import { LimiterError } from "../errors.ts";

/** What a request costs: an operation, and its size in bytes. */
export interface RequestCost {
  readonly operation: string;
  readonly sizeBytes?: number | null;
}

/** A limiter, or the limiter of one application. */
export interface Checks {
  checkAsync(operation: string, sizeBytes?: number | null): Promise<Decision>;
}

export interface MiddlewareOptions<Request> {
  /** Whose quota a request counts on; a limiter, or a choice by the request. */
  readonly limiter: Checks | ((request: Request) => Checks);
  /** What a request costs; undefined for a request that is not limited. */
  readonly cost: (request: Request) => RequestCost | undefined;
}

/** What the response to a request that is not admitted is made of. */
export interface Rejection {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: {
    readonly title: string;
    readonly status: number;
    readonly reason?: string | null;
    readonly retry_after_ms?: number | null;
  };
}

export interface Verdict {
  readonly headers: Readonly<Record<string, string>>;
  /** How long a leaky bucket delays the request. */
  readonly delayMs: number;
  readonly rejection: Rejection | undefined;
}

/** The same for every framework. Errors of the caller's own functions are passed on. */
export async function judge<Request>(
  { limiter, cost }: MiddlewareOptions<Request>,
  request: Request,
): Promise<Verdict> {
  const asked = cost(request);
  if (asked === undefined) return { headers: {}, delayMs: 0, rejection: undefined };
  const checks = typeof limiter === "function" ? limiter(request) : limiter;
  try {
    const decision = await checks.checkAsync(asked.operation, asked.sizeBytes ?? 0);
    return verdictOf(decision);
  } catch (error) {
    if (!(error instanceof LimiterError) || error.status === 500) throw error;
    const body = { title: error.message, status: error.status };
    const rejection = { status: error.status, headers: problem, body };
    return { headers: {}, delayMs: 0, rejection };
  }
}

const problem = { "Content-Type": "application/problem+json" };

function verdictOf(decision: Decision): Verdict {
  const headers = headersFor(decision);
  const { allowed, delayMs, reason, retryAfterMs } = decision;
  if (allowed) return { headers, delayMs, rejection: undefined };
  const status = statusOf(decision);
  const body = { title: titleOf(status), status, reason, retry_after_ms: retryAfterMs };
  return { headers, delayMs, rejection: { status, headers: { ...headers, ...problem }, body } };
}

/** As the gateway answers. */
function statusOf({ reason }: Decision): number {
  if (reason === "exceeds_capacity") return 413;
  if (reason === "no_quota") return 403;
  return reason === "store_unavailable" ? 503 : 429;
}

function titleOf(status: number): string {
  if (status === 413) return "the request is larger than its quota can ever hold";
  if (status === 403) return "the application has no quota";
  return status === 503 ? "the limiter cannot decide right now" : "too many requests";
}
