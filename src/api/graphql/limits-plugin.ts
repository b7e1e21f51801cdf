import { SafeError } from "postgraphile/grafast";
import { NoSchemaIntrospectionCustomRule } from "postgraphile/graphql";
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
      },
    },
    grafast: {
      middleware: {
        prepareArgs(next, { args }) {
          const { document, operationName, variableValues } = args;
          try {
            checkLimits(document, operationName, variableValues ?? {}, limits);
          } catch (error) {
            throw error instanceof ApiError ? safe(error) : error;
          }
          return next();
        },
      },
    },
  };
}

/** The kind of error that grafserv passes on from here. */
function safe(error: ApiError): SafeError {
  return new SafeError(error.message, { ...error.extensions, statusCode: error.status });
}
