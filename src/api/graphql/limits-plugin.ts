import { SafeError } from "postgraphile/grafast";
import { type DocumentNode, NoSchemaIntrospectionCustomRule, parse } from "postgraphile/graphql";
import "postgraphile/grafserv";
import { ApiError } from "../api-error.ts";
import { checkLimits, type Limits, operationOf } from "./limits.ts";
import { type PersistedOperations, persistedQuery } from "./persisted-operations.ts";

export interface RequestRules {
  readonly limits: Limits;
  readonly introspection: boolean;
  /** Where there are any, nothing else is answered. */
  readonly persisted: PersistedOperations | undefined;
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
        processGraphQLRequestBody(next, { body, graphqlWsContext }) {
          readably(() => {
            if (graphqlWsContext) checkSocket(graphqlWsContext);
            if (rules.persisted) body.query = persistedQuery(body, rules.persisted);
            checkBody(body, limits, graphqlWsContext !== undefined);
          });
          return next();
        },
      },
    },
  };
}

/** Each costs a few statements a second, though its client sends nothing any more. */
const followedBySocket = 100;

function checkSocket({ subscriptions }: { readonly subscriptions: object }): void {
  if (Object.keys(subscriptions).length <= followedBySocket) return;
  const hint = `Follow ${followedBySocket} things at once on a socket, and no more.`;
  throw new ApiError("QS429", "too many subscriptions", hint);
}

interface Body {
  readonly query: unknown;
  readonly operationName: unknown;
  readonly variableValues: unknown;
}

function checkBody(
  { query, operationName, variableValues }: Body,
  limits: Limits,
  isOverSocket: boolean,
): void {
  const document = parsed(query);
  if (document === undefined) return;
  const name = typeof operationName === "string" ? operationName : undefined;
  // The library would stream it over HTTP, past all that limits sockets.
  if (!isOverSocket && operationOf(document, name)?.operation === "subscription") {
    throw subscriptionNeedsSocket();
  }
  checkLimits(document, name, (variableValues ?? {}) as Record<string, unknown>, limits);
}

function subscriptionNeedsSocket(): ApiError {
  const hint = "Connect by the protocol graphql-transport-ws.";
  return new ApiError("QS400", "subscription needs a WebSocket", hint);
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

/** Undefined for what is no query: grafserv says why. */
function parsed(query: unknown): DocumentNode | undefined {
  try {
    return typeof query === "string" ? parse(query, { maxTokens: 10_000 }) : undefined;
  } catch {
    return undefined;
  }
}
