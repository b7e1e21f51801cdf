import "@graphile/simplify-inflection";
import "postgraphile/graphile-build-pg";

/** What columns call the thing that they refer to, where that is not its own name. */
const referredTo: Readonly<Record<string, string>> = {
  app: "application",
  alert: "alertConfig",
  config: "quota",
  operation: "operationType",
};

/** What functions answer rows of, where one row is not what the function is called. */
const rowsOf: Readonly<Record<string, string>> = {
  apply_configuration: "ConfigurationChange",
  cluster_buckets: "ClusterBucket",
  compare_configuration: "ConfigurationDifference",
  compare_quota_versions: "QuotaDifference",
  configuration: "ConfiguredObject",
  create_applications: "CreatedApplication",
  preview_alert: "AlertPreview",
  preview_quota: "QuotaPreview",
  publish_quotas: "PublishedQuota",
  shadow_report: "ShadowTrial",
  top_consumers: "TopConsumer",
  try_quota: "QuotaTrial",
  usage_over_time: "UsageOfPeriod",
  why_throttled: "BucketExplanation",
};

/**
 * Schemas are audiences, not name spaces: no name clashes, so none needs its schema in front.
 * A row is looked up by one value, whichever of its keys that is; changes name the primary key.
 * Who changed a row is told by the row, and what a user changed by the audit.
 */
export const inflectionPlugin: GraphileConfig.Plugin = {
  name: "QosInflectionPlugin",
  version: "1.0.0",
  inflection: {
    replace: {
      _schemaPrefix: () => "",
      _getBaseName(previous, _preset, attributeName) {
        const name = previous?.(attributeName) ?? referredBy(attributeName);
        return name && (referredTo[name] ?? name);
      },
      // The table has the name of its rows already.
      customQueryField: (previous, _preset, details) =>
        details.resource.name === "alert_of_id" ? "alert" : (previous?.(details) ?? ""),
      functionRecordReturnCodecName(previous, _preset, details) {
        return rowsOf[details.pgProc.proname] ?? previous?.(details)?.replace(/Record$/, "") ?? "";
      },
    },
  },
  schema: {
    entityBehavior: {
      pgResourceUnique: {
        inferred: {
          after: ["inferred"],
          provides: ["qosUniques"],
          callback(behavior, [, unique]) {
            const several = unique.attributes.length > 1 ? (["-single"] as const) : [];
            if (unique.isPrimary) return [behavior, ...several];
            return [
              behavior,
              ...several,
              "-constraint:resource:update",
              "-constraint:resource:delete",
            ];
          },
        },
      },
      pgCodecRelation: {
        inferred: {
          after: ["inferred"],
          provides: ["qosRelations"],
          callback: (behavior, relation) =>
            relation.isReferencee &&
            relation.remoteAttributes.some((name) => referredBy(name) !== null)
              ? [behavior, "-list", "-connection", "-single"]
              : [behavior],
        },
      },
    },
  },
};

/** created_by refers to the user createdByUser, setting_key to a setting. */
function referredBy(attributeName: string): string | null {
  if (attributeName.endsWith("_by")) return `${attributeName}_user`;
  return attributeName === "setting_key" ? "setting" : null;
}
