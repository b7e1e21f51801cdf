import type { JSONResult } from "postgraphile/grafserv";
import { withoutSuggestion } from "./mask-error.ts";

interface AnsweredError {
  readonly message: string;
  readonly extensions?: Readonly<Record<string, unknown>>;
}

interface Answer {
  readonly data?: Readonly<Record<string, unknown>> | null;
  errors?: readonly AnsweredError[];
}

/** What a transport error asks for, by its status. */
const hints: Readonly<Record<number, string>> = {
  400: "Send a query as JSON: see the documentation of the API.",
  405: "Send queries and mutations by POST.",
  406: "Accept application/json or application/graphql-response+json.",
  413: "Send a smaller request.",
  415: "Send the content type application/json.",
};

/**
 * Gives every error of an answer a code, also those of the transport and of validation, which the
 * library answers by itself.
 */
export function answersPlugin(
  { production }: { readonly production: boolean },
  told: (code: unknown) => void,
): GraphileConfig.Plugin {
  return {
    name: "QosAnswersPlugin",
    version: "1.0.0",
    grafserv: {
      middleware: {
        async processRequest(next, event) {
          event.requestDigest.preferJSON = true;
          const result = await next();
          if (result?.type === "error") {
            told(`QS${result.statusCode}`);
            return transportError(result.statusCode, result.error.message, result.headers);
          }
          if (result?.type !== "json") return result;
          const answer = result.json as Answer;
          if (answer.errors === undefined) return result;
          answer.errors = answer.errors.map((error) => coded(error, result.statusCode, production));
          for (const { extensions } of answer.errors) told(extensions?.code);
          if (isUnavailable(answer)) {
            result.statusCode = 503;
            result.headers["retry-after"] = "1";
          }
          return result;
        },
      },
    },
  };
}

function transportError(
  statusCode: number,
  message: string,
  headers: Record<string, string>,
): JSONResult {
  return {
    type: "json",
    statusCode,
    headers: { ...headers, "content-type": "application/json; charset=utf-8" },
    json: { errors: [coded({ message }, statusCode, true)] } as unknown as JSONResult["json"],
  };
}

function coded(error: AnsweredError, status: number, production: boolean): AnsweredError {
  if (error.extensions?.code !== undefined) return error;
  const code = status >= 400 ? status : 400;
  const hint = code >= 500 ? "Try again later." : (hints[code] ?? hints[400]);
  return {
    ...error,
    message: production ? withoutSuggestion(error.message) : error.message,
    extensions: { code: `QS${code}`, hint, ...error.extensions },
  };
}

/** Nothing was answered, as the database or the server could not. */
function isUnavailable({ data, errors = [] }: Answer): boolean {
  return (
    errors.some(({ extensions }) => extensions?.code === "QS503") &&
    Object.values(data ?? {}).every((value) => value === null)
  );
}
