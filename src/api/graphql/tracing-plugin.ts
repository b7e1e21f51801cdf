import "postgraphile/grafast";
import { traced } from "../../tracing/traced.ts";
import { operationOf } from "./limits.ts";

/** Spans are kept until they are sent, and callers choose names. */
const longestName = 100;

/** A span of each operation, by its kind and name; of its variables and answers nothing is told. */
export const tracingPlugin: GraphileConfig.Plugin = {
  name: "QosTracingPlugin",
  version: "1.0.0",
  grafast: {
    middleware: {
      execute(next, { args }) {
        const operation = operationOf(args.document, args.operationName);
        const kind = operation?.operation ?? "operation";
        const name = operation?.name?.value.slice(0, longestName);
        const attributes = {
          "graphql.operation.type": kind,
          ...(name !== undefined && { "graphql.operation.name": name }),
        };
        return traced(
          name === undefined ? kind : `${kind} ${name}`,
          { attributes },
          async (span) => {
            const result = await next();
            const [error] = ("errors" in result && result.errors) || [];
            if (error !== undefined) span.setAttribute("error.type", codeOf(error));
            return result;
          },
        );
      },
    },
  },
};

/** Errors that people run into have a code; of others the log says more. */
function codeOf({
  extensions,
}: {
  readonly extensions?: Readonly<Record<string, unknown>>;
}): string {
  return `${extensions?.code ?? "error"}`;
}
