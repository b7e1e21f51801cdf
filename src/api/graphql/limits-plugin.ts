import { SafeError } from "postgraphile/grafast";
import { type DocumentNode, NoSchemaIntrospectionCustomRule, parse } from "postgraphile/graphql";
import "postgraphile/grafserv";
import { ApiError } from "../api-error.ts";
import { checkLimits, type Limits } from "./limits.ts";

export function limitsPlugin(limits: Limits, introspection: boolean): GraphileConfig.Plugin {
  return {
    name: "QosLimitsPlugin",
    version: "1.0.0",
    grafserv: {
      middleware: {
        setPreset(next, event) {
          if (!introspection) event.validationRules.push(NoSchemaIntrospectionCustomRule);
          return next();
        },
        processGraphQLRequestBody(next, { body }) {
          checkBody(body, limits);
          return next();
        },
      },
    },
  };
}

interface Body {
  readonly query: unknown;
  readonly operationName: unknown;
  readonly variableValues: unknown;
}

function checkBody({ query, operationName, variableValues }: Body, limits: Limits): void {
  const document = parsed(query);
  if (document === undefined) return;
  const name = typeof operationName === "string" ? operationName : undefined;
  const variables = (variableValues ?? {}) as Record<string, unknown>;
  try {
    checkLimits(document, name, variables, limits);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    // The kind of error that grafserv passes on from here.
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
