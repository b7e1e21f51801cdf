import "@graphile/simplify-inflection";
import "postgraphile/graphile-build-pg";

/** What columns call the thing that they refer to, where that is not its own name. */
const referredTo: Readonly<Record<string, string>> = {
  app: "application",
  alert: "alertConfig",
  config: "quota",
  operation: "operationType",
};

/**
 * Schemas are audiences, not name spaces: no name clashes, so none needs its schema in front.
 * A key other than the primary one is for reading; changes name the primary key.
 */
export const inflectionPlugin: GraphileConfig.Plugin = {
  name: "QosInflectionPlugin",
  version: "1.0.0",
  inflection: {
    replace: {
      _schemaPrefix: () => "",
      enumValue: (_previous, _preset, value) => String(value).toUpperCase(),
      _getBaseName(previous, _preset, attributeName) {
        const name = previous?.(attributeName) ?? null;
        return name && (referredTo[name] ?? name);
      },
    },
  },
  schema: {
    entityBehavior: {
      pgResourceUnique: {
        inferred: {
          after: ["inferred"],
          provides: ["qosUniques"],
          callback: (behavior, [, unique]) =>
            unique.isPrimary
              ? [behavior]
              : [behavior, "-constraint:resource:update", "-constraint:resource:delete"],
        },
      },
    },
  },
};
