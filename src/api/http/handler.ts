import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { SafeError } from "postgraphile/grafast";
import { logFor } from "../../log.ts";
import type { Sql } from "../../postgres/connect.ts";
import { ApiError, notSignedIn } from "../api-error.ts";
import type { ConsoleFiles } from "../console/console-files.ts";
import { currentRequest } from "../current-request.ts";
import { answerExport } from "../exports/answer-export.ts";
import { exportRequest } from "../exports/export-request.ts";
import type { ExportSlots } from "../exports/export-slots.ts";
import { exportingTenant } from "../exports/exporting-tenant.ts";
import { partyOf } from "../fairness/party.ts";
import type { Turns } from "../fairness/turns.ts";
import { ideFiles, idePath } from "../graphql/ide-paths.ts";
import type { Authenticator } from "../identity/authenticator.ts";
import {
  authorizationOfCookie,
  cookieHeader,
  cookiesAskedFor,
  sessionCookies,
} from "../identity/session-cookies.ts";
import { inContext } from "../in-context.ts";
import type { ApiMetrics } from "../metrics/metrics.ts";
import { type ApiRequest, describeRequest } from "../request.ts";
import type { ApiSettings } from "../settings.ts";
import { forgetMalformedAccept } from "./accept.ts";
import type { RunningStatements } from "./cancel-abandoned.ts";
import { setCorsHeaders } from "./cors.ts";
import { setSecurityHeaders } from "./headers.ts";
import { isDatabaseReady } from "./health.ts";
import type { InFlight } from "./in-flight.ts";
import { inRequestSpan } from "./request-span.ts";
import { respondError, respondJson } from "./respond.ts";

const log = logFor("api");

export interface HandlerParts {
  readonly settings: ApiSettings;
  readonly sql: Sql;
  /** A separate pool for exports, so that they cannot block sign-in. */
  readonly exportSql: Sql;
  readonly exportSlots: ExportSlots;
  readonly authenticator: Authenticator;
  readonly inFlight: InFlight;
  /** Whether GraphQL's connections lead to a database that takes writes. */
  canWrite(): boolean;
  /** Where GraphQL and the IDE are answered. */
  readonly graphql: Server;
  readonly statements: RunningStatements;
  readonly consoleFiles: ConsoleFiles;
  readonly metrics: ApiMetrics;
  /** What is carried out at once, by user and tenant. */
  readonly requestTurns: Turns;
  /** Keeps the properties of a request for its handler. */
  readonly requests: WeakMap<IncomingMessage, ApiRequest>;
}

type Handler = (message: IncomingMessage, response: ServerResponse) => void;

export function requestHandler(parts: HandlerParts): Handler {
  const { settings } = parts;
  return (message, response) => {
    const request = describeRequest(message, settings.trustedProxies);
    parts.inFlight.add(response);
    const path = pathOf(message);
    tellWhenDone(parts.metrics, message, response, request, path);
    setSecurityHeaders(response, settings.ide && isOfIde(path));
    setCorsHeaders(message, response, settings.corsOrigins);
    response.setHeader("X-Request-Id", request.requestId);
    const answer = () =>
      route(parts, path, request, message, response).catch((error: Error) =>
        respondError(response, error, settings.production, parts.metrics.refused),
      );
    inRequestSpan(message, response, path, () => currentRequest.run(request, answer));
  };
}

async function route(
  parts: HandlerParts,
  path: string,
  request: ApiRequest,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (message.method === "OPTIONS") return answerOptions(response);
  if (path === "/healthz") return respondJson(response, 200, { status: "alive" });
  if (path === "/readyz") return answerReadiness(parts, response);
  if (path.startsWith("/export/")) return routeExport(parts, request, message, response);
  if (path === "/graphql") return routeGraphql(parts, request, message, response);
  if (!parts.settings.ide || !isOfIde(path)) {
    return answerConsole(parts, path, message, response);
  }
  forgetMalformedAccept(message);
  parts.graphql.emit("request", message, response);
}

async function routeGraphql(
  parts: HandlerParts,
  request: ApiRequest,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { maxBodyBytes, maxBulkBytes } = parts.settings;
  const { headers } = message;
  const mayBeLarge = headers.authorization !== undefined || headers[cookieHeader] === "use";
  refuseLargeBody(message, mayBeLarge ? Math.max(maxBodyBytes, maxBulkBytes) : maxBodyBytes);
  const sender = await identified(parts, request, message, response);
  if (sender.identity === undefined) limitBody(message, maxBodyBytes);
  const giveBack = await parts.requestTurns.take(partyOf(sender));
  // Not for as long as a slow client reads the answer.
  response.once("prefinish", giveBack);
  response.once("close", giveBack);
  if (response.destroyed) return giveBack();
  parts.statements.cancelWhenAbandoned(request, response);
  parts.requests.set(message, sender);
  forgetMalformedAccept(message);
  parts.graphql.emit("request", message, response);
}

async function routeExport(
  parts: HandlerParts,
  request: ApiRequest,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const wanted = message.method === "GET" ? exportRequest(message.url ?? "/") : undefined;
  if (wanted === undefined) throw nothingHere();
  const sender = await identified(parts, request, message, response);
  if (sender.identity === undefined) throw notSignedIn();
  // By a connection that no export holds, so that a refusal does not wait for one.
  const tenantId = await inContext(parts.sql, sender, exportingTenant, {
    role: "rate_limiter_visitor",
  });
  const release = parts.exportSlots.take(tenantId);
  try {
    await answerExport(parts.exportSql, wanted, sender, response, parts.settings);
  } finally {
    release();
  }
}

async function identified(
  { authenticator, settings }: HandlerParts,
  request: ApiRequest,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<ApiRequest> {
  const wish = cookiesAskedFor(message);
  if (wish === undefined) {
    return { ...request, identity: await authenticator.identify(message.headers.authorization) };
  }
  const cookies = sessionCookies(message, response, settings.production);
  if (wish === "begin") return { ...request, cookies };
  const authorization = authorizationOfCookie(message, settings.production);
  if (authorization === undefined) throw notSignedIn();
  return { ...request, cookies, identity: await authenticator.identify(authorization) };
}

/** The console, and whatever its pages are called: it tells itself what it does not know. */
async function answerConsole(
  { consoleFiles, settings }: HandlerParts,
  path: string,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const isReading = message.method === "GET" || message.method === "HEAD";
  if (!settings.console || !isReading) throw nothingHere();
  if (!(await consoleFiles.answer(path, message, response))) throw nothingHere();
}

function nothingHere(): ApiError {
  return new ApiError("QS404", "not found", "The API answers at /graphql.");
}

/** Answers CORS preflights; setCorsHeaders() has set the headers. */
function answerOptions(response: ServerResponse): void {
  response.writeHead(204);
  response.end();
}

async function answerReadiness(parts: HandlerParts, response: ServerResponse): Promise<void> {
  const isUp = !parts.inFlight.isDraining && parts.canWrite();
  const ready = isUp && (await isDatabaseReady(parts.sql));
  respondJson(response, ready ? 200 : 503, { status: ready ? "ready" : "not ready" });
}

/** Refuses a body by its Content-Length, before it is read. */
function refuseLargeBody({ headers }: IncomingMessage, maxBodyBytes: number): void {
  if (Number(headers["content-length"] ?? 0) <= maxBodyBytes) return;
  throw new ApiError("QS413", "request is too large", `Send ${maxBodyBytes} bytes at most.`);
}

/** The library's own limit is that of signed-in users. It passes the error on as its own. */
function limitBody(message: IncomingMessage, maxBodyBytes: number): void {
  refuseLargeBody(message, maxBodyBytes);
  let bytes = 0;
  const emit: (event: string | symbol, ...given: unknown[]) => boolean = message.emit;
  message.emit = (event: string | symbol, ...given: unknown[]) => {
    if (event === "data") bytes += (given[0] as Buffer).length;
    if (bytes <= maxBodyBytes) return emit.call(message, event, ...given);
    bytes = Number.NEGATIVE_INFINITY;
    const hint = `Send ${maxBodyBytes} bytes at most.`;
    const error = new ApiError("QS413", "request is too large", hint);
    const facts = { ...error.extensions, statusCode: error.status };
    return emit.call(message, "error", new SafeError(error.message, facts));
  };
}

function isOfIde(path: string): boolean {
  return path === idePath || path.startsWith(ideFiles);
}

function pathOf({ url = "/" }: IncomingMessage): string {
  return url.split("?", 1)[0] ?? "/";
}

/** As nginx counts a request whose client went before the answer. */
const clientGone = 499;

function tellWhenDone(
  metrics: ApiMetrics,
  message: IncomingMessage,
  response: ServerResponse,
  request: ApiRequest,
  path: string,
) {
  const start = performance.now();
  response.once("close", () => {
    const milliseconds = performance.now() - start;
    const status = response.writableFinished ? response.statusCode : clientGone;
    metrics.answered(path, status, milliseconds / 1000);
    log.debug(
      {
        requestId: request.requestId,
        method: message.method,
        path,
        status: response.statusCode,
        complete: response.writableFinished,
        milliseconds: Math.round(milliseconds),
      },
      "request",
    );
  });
}
