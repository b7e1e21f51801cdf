import type { IncomingMessage } from "node:http";
import { SafeError } from "postgraphile/grafast";
import { NoSchemaIntrospectionCustomRule, print } from "postgraphile/graphql";
import "postgraphile/grafserv";
import { ApiError } from "../api-error.ts";
import type { OpenSockets } from "../http/open-sockets.ts";
import {
  boundedDocument,
  boundsOfSignedIn,
  boundsOfStrangers,
  checkVariables,
  type DocumentBounds,
} from "./bounded-document.ts";
import { checkLimits, type Limits, operationOf } from "./limits.ts";
import { type PersistedOperations, persistedQuery } from "./persisted-operations.ts";

export interface RequestRules {
  readonly limits: Limits;
  readonly introspection: boolean;
  /** Where there are any, nothing else is answered. */
  readonly persisted: PersistedOperations | undefined;
  /** Told what each socket follows. */
  readonly sockets: Pick<OpenSockets, "follows">;
  /** Whether the sender of a request over HTTP is known. */
  isSignedIn(context: Partial<Grafast.RequestContext>): boolean;
}

export function limitsPlugin({ limits, ...rules }: RequestRules): GraphileConfig.Plugin {
  return {
    name: "QosLimitsPlugin",
    version: "1.0.0",
    grafserv: {
      middleware: {
        setPreset(next, event) {
          if (!rules.introspection) event.validationRules.push(NoSchemaIntrospectionCustomRule);
          return next();
        },
        processGraphQLRequestBody(next, { body, request, graphqlWsContext }) {
          readably(() => {
            if (graphqlWsContext) noteSocket(graphqlWsContext, rules.sockets);
            if (rules.persisted) body.query = persistedQuery(body, rules.persisted);
            // What a stranger writes is small; what the operator wrote is as trusted as its author.
            const isTrusted =
              rules.persisted !== undefined ||
              (request !== undefined && rules.isSignedIn(request.requestContext));
            const bounds = isTrusted ? boundsOfSignedIn : boundsOfStrangers;
            checkBody(body, limits, bounds, graphqlWsContext !== undefined);
          });
          return next();
        },
      },
    },
  };
}

interface SocketContext {
  readonly subscriptions: Readonly<Record<string, unknown>>;
  readonly extra: unknown;
}

function noteSocket({ subscriptions, extra }: SocketContext, sockets: RequestRules["sockets"]) {
  const { request } = extra as { readonly request: IncomingMessage };
  sockets.follows(request, subscriptions);
}

interface Body {
  query: unknown;
  readonly operationName: unknown;
  readonly variableValues: unknown;
}

function checkBody(
  body: Body,
  limits: Limits,
  bounds: DocumentBounds,
  isOverSocket: boolean,
): void {
  const { query, operationName, variableValues } = body;
  if (typeof query !== "string") return;
  checkVariables(variableValues, bounds);
  const document = boundedDocument(query, bounds);
  if (document === undefined) return;
  const name = typeof operationName === "string" ? operationName : undefined;
  const kind = operationOf(document, name)?.operation;
  // The library would stream it over HTTP, without the limits of sockets.
  if (!isOverSocket && kind === "subscription") throw subscriptionNeedsSocket();
  // And would answer these over a socket, without the limits of requests.
  if (isOverSocket && kind !== undefined && kind !== "subscription") throw socketIsForLive();
  const variables = (variableValues ?? {}) as Record<string, unknown>;
  const sized = checkLimits(document, name, variables, limits);
  if (sized !== document) body.query = print(sized);
}

function subscriptionNeedsSocket(): ApiError {
  const hint = "Connect by the protocol graphql-transport-ws.";
  return new ApiError("QS400", "subscription needs a WebSocket", hint);
}

function socketIsForLive(): ApiError {
  const hint = "Send queries and mutations by HTTP.";
  return new ApiError("QS400", "socket answers subscriptions only", hint);
}

/** Errors become the kind that grafserv passes on from here. */
function readably(check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw new SafeError(error.message, { ...error.extensions, statusCode: error.status });
  }
}
