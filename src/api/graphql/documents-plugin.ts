import { lambda, type Step } from "postgraphile/grafast";
import { GraphQLList, GraphQLNonNull, type GraphQLOutputType } from "postgraphile/graphql";
import "postgraphile/graphile-build-pg";
import { camel, camelKeys } from "../camel-keys.ts";

/** Fields that are rows or parts of rows, whose keys are columns, and down to which depth they are. */
const rows: Readonly<Record<string, number>> = {
  ...{ "AuditLog.oldValues": 1, "AuditLog.newValues": 1 },
  ...{ "QuotaVersion.oldConfig": 2, "QuotaVersion.newConfig": 2 },
  ...{ "ReservationChange.oldValues": 1, "ReservationChange.newValues": 1 },
  "AlertNotification.content": 2,
  "Alert.notificationSent": 2,
};

/** Fields that name a column. */
const names = new Set(["QuotaDifference.field"]);

/** Functions that count by reason. */
const countsByReason = new Set(["QuotaTrial.throttledBy", "ShadowTrial.throttledBy"]);

/** JSON of the database as the rest of the API has it: names in camelCase, counts with a type. */
export const documentsPlugin: GraphileConfig.Plugin = {
  name: "QosDocumentsPlugin",
  version: "1.0.0",
  schema: {
    hooks: {
      init(_, build) {
        build.registerObjectType(
          "CountOfReason",
          {},
          () => ({
            description: "How many operations one reason denied.",
            fields: {
              reason: { type: nonNull(build, "DenialReason") },
              operations: { type: nonNull(build, "BigInt") },
            },
          }),
          "QosDocuments",
        );
        return _;
      },
      GraphQLObjectType_fields_field(field, build, { Self, scope }) {
        const { fieldName } = scope;
        const place = `${Self.name}.${fieldName}`;
        const depth = rows[place];
        if (depth !== undefined) {
          return { ...field, plan: after(field, fieldName, (value) => camelKeys(value, depth)) };
        }
        if (names.has(place)) {
          return { ...field, plan: after(field, fieldName, (value) => camel(String(value))) };
        }
        if (!countsByReason.has(place)) return field;
        const counts = new GraphQLList(nonNull(build, "CountOfReason"));
        return { ...field, type: counts, plan: after(field, fieldName, countsOf) };
      },
    },
  },
};

function nonNull(build: GraphileBuild.Build, name: string) {
  return new GraphQLNonNull(build.getTypeByName(name) as GraphQLOutputType);
}

type Plan = (...args: readonly unknown[]) => Step;

/** The plan of a field, and then this. A field without a plan is what its row has under its name. */
function after(field: object, name: string, change: (value: unknown) => unknown) {
  const { plan } = field as { plan?: Plan };
  return ($row: Step & { get(name: string): Step }, ...args: readonly unknown[]) =>
    lambda(plan === undefined ? $row.get(name) : plan($row, ...args), change, true);
}

function countsOf(counts: unknown) {
  return Object.entries((counts ?? {}) as Record<string, number>).map(([reason, operations]) => ({
    reason,
    operations: String(operations),
  }));
}
