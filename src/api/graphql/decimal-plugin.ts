import { GraphQLError, Kind } from "postgraphile/graphql";
import "postgraphile/graphile-build";

const decimal = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;

function decimalOf(value: unknown): string {
  const text = typeof value === "number" ? String(value) : value;
  if (typeof text === "string" && decimal.test(text)) return text;
  throw new GraphQLError("A BigFloat is written as a decimal number, such as 12.5.");
}

/**
 * PostgreSQL's numeric takes NaN too, which is above every bound and which no sum comes back from: a
 * number that people send is one.
 */
export const decimalPlugin: GraphileConfig.Plugin = {
  name: "QosDecimalPlugin",
  version: "1.0.0",
  schema: {
    hooks: {
      GraphQLScalarType(config, build) {
        if (config.name !== build.inflection.builtin("BigFloat")) return config;
        return {
          ...config,
          parseValue: decimalOf,
          parseLiteral: (node) => decimalOf(node.kind === Kind.STRING ? node.value : undefined),
        };
      },
    },
  },
};
