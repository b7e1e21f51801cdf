import type { ObjectStep, Step } from "postgraphile/grafast";
import {
  type GraphQLFieldConfig,
  type GraphQLInputType,
  GraphQLList,
  GraphQLNonNull,
  isInputObjectType,
  isListType,
  isNonNullType,
  isNullableType,
  isObjectType,
} from "postgraphile/graphql";
import "postgraphile/graphile-build-pg";

type Plan = (...args: readonly unknown[]) => unknown;
type Planned = { readonly grafast?: { readonly plan?: Plan; readonly apply?: Plan } };

/** What a library makes of functions and tables, made to read like an API. */
export const surfacePlugin: GraphileConfig.Plugin = {
  name: "QosSurfacePlugin",
  version: "1.0.0",
  schema: {
    hooks: {
      GraphQLObjectType_fields(fields, build, { scope }) {
        // A second way to the same rows: nodes has them, pageInfo the cursors.
        if (scope.isConnectionType) delete fields.edges;
        const resource = scope.isMutationPayload ? scope.pgTypeResource : undefined;
        if (!resource?.codec.isAnonymous || !resource.isUnique || !resource.parameters) {
          return fields;
        }
        return build.extend(fieldsWithout(fields, "result"), fieldsOfResult(fields), "QosSurface");
      },
      GraphQLInputObjectType_fields(fields, build, { scope }) {
        const { pgResource } = scope;
        if (scope.isPgCreateInputType && pgResource) {
          const record = build.getGraphQLTypeByPgCodec(pgResource.codec, "input");
          if (!isInputObjectType(record)) return fields;
          const nested = build.inflection.tableFieldName(pgResource);
          const flat = Object.entries(record.getFields()).map(
            ([name, { type, description, ...field }]) => {
              const { apply } = (field.extensions as Planned).grafast ?? {};
              return [name, { type, description, apply: onRecord(apply) }];
            },
          );
          return build.extend(
            fieldsWithout(fields, nested),
            Object.fromEntries(flat),
            "QosSurface",
          );
        }
        if (scope.isMutationInput) {
          for (const field of Object.values(fields)) field.type = withoutNulls(field.type);
        }
        return fields;
      },
      GraphQLObjectType_fields_field_args(args, _build, { scope }) {
        if (scope.isRootQuery) {
          for (const arg of Object.values(args)) arg.type = withoutNulls(arg.type);
        }
        return args;
      },
    },
  },
};

function fieldsWithout<T extends object>(fields: T, name: string): T {
  const { [name as keyof T]: _left, ...rest } = fields;
  return rest as T;
}

/** The fields of what a function answers, for the payload itself. */
function fieldsOfResult(fields: Readonly<Record<string, GraphQLFieldConfig<unknown, unknown>>>) {
  const record = fields.result?.type;
  if (!isObjectType(record)) throw new Error("A function answers no record.");
  return Object.fromEntries(
    Object.entries(record.getFields()).map(([name, { type, description, extensions }]) => {
      const { plan } = (extensions as Planned).grafast ?? {};
      const ofResult = ($payload: ObjectStep, ...rest: readonly unknown[]) => {
        const $result = $payload.getStepForKey("result") as Step & { get(name: string): Step };
        return plan === undefined ? $result.get(name) : plan($result, ...rest);
      };
      return [name, { type, description, plan: ofResult }];
    }),
  );
}

/** A field of a row, set where the input of the row stood. */
function onRecord(apply: Plan | undefined) {
  return (target: { setBuilder(): unknown }, ...rest: readonly unknown[]) =>
    apply?.(target.setBuilder(), ...rest);
}

/** No list that callers give has nulls in it. */
function withoutNulls(type: GraphQLInputType): GraphQLInputType {
  if (isNonNullType(type)) {
    return new GraphQLNonNull(withoutNulls(type.ofType) as GraphQLList<GraphQLInputType>);
  }
  if (!isListType(type) || !isNullableType(type.ofType)) return type;
  return new GraphQLList(new GraphQLNonNull(type.ofType));
}
