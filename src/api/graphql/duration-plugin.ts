import { TYPES } from "postgraphile/@dataplan/pg";
import { GraphQLError, Kind } from "postgraphile/graphql";
import "postgraphile/graphile-build-pg";

/** PostgreSQL reads these itself; the session answers them (intervalstyle iso_8601). */
const iso8601 =
  /^-?P(?=.)(-?\d+Y)?(-?\d+M)?(-?\d+W)?(-?\d+D)?(T(?=.)(-?\d+H)?(-?\d+M)?(-?\d+(\.\d{1,6})?S)?)?$/;

function duration(value: unknown): string {
  if (typeof value === "string" && iso8601.test(value)) return value;
  throw new GraphQLError("A duration is written as in ISO 8601, such as PT15M or P1DT12H.");
}

const durationCodec = {
  ...TYPES.interval,
  // Selected as text, in the session's style, and not as seven numbers.
  castFromPg: undefined,
  listCastFromPg: undefined,
  fromPg: (value: string) => value,
  toPg: (value: string) => value,
} as unknown as typeof TYPES.interval;

/** interval as one scalar in place of an object of seven fields. */
export const durationPlugin: GraphileConfig.Plugin = {
  name: "QosDurationPlugin",
  version: "1.0.0",
  before: ["PgCodecsPlugin"],
  gather: {
    hooks: {
      async pgCodecs_findPgCodec(info, event) {
        if (event.pgCodec || event.pgType.typname !== "interval") return;
        const catalog = await info.helpers.pgIntrospection.getNamespaceByName(
          event.serviceName,
          "pg_catalog",
        );
        if (event.pgType.typnamespace === catalog?._id) event.pgCodec = durationCodec;
      },
    },
  },
  schema: {
    hooks: {
      init(_, build) {
        build.registerScalarType(
          "Duration",
          {},
          () => ({
            description: "A span of time as in ISO 8601, such as PT15M or P1DT12H.",
            specifiedByURL: "https://www.rfc-editor.org/rfc/rfc3339#appendix-A",
            serialize: String,
            parseValue: duration,
            parseLiteral: (node) => duration(node.kind === Kind.STRING ? node.value : undefined),
          }),
          "QosDurationPlugin",
        );
        build.setGraphQLTypeForPgCodec(durationCodec, ["input", "output"], "Duration");
        return _;
      },
    },
  },
};
