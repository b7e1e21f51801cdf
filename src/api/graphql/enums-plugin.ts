import "postgraphile/graphile-build-pg";
import { enumCodec, type PgCodec, type PgCodecAttribute, TYPES } from "postgraphile/@dataplan/pg";
import { enumName, textEnums } from "./enums.ts";

const text = TYPES.text.sqlType;

/** The enum of each place that has one. */
const codecs: ReadonlyMap<string, PgCodec> = new Map(
  Object.entries(textEnums).flatMap(([name, { description, values, at }]) => {
    const codec = enumCodec({
      ...{ name, identifier: text, description, extensions: { tags: {} } },
      values: Object.keys(values).map((value) => ({ value })),
    });
    return at.map((place) => [place, codec as PgCodec] as const);
  }),
);

/**
 * Columns and arguments that take one of a few texts are enums of the API. In the database they stay
 * texts with a check: a value more does not change a type there.
 */
export const enumsPlugin: GraphileConfig.Plugin = {
  name: "QosEnumsPlugin",
  version: "1.0.0",
  inflection: {
    replace: {
      enumValue(_previous, _preset, value, codec) {
        return enumName(codec.name, String(value));
      },
    },
  },
  schema: {
    hooks: {
      init(_) {
        const missing = [...codecs.keys()].filter((name) => !found.has(name));
        if (missing.length > 0) throw new Error(`Not in the database: ${missing}`);
        return _;
      },
    },
  },
  gather: {
    hooks: {
      pgCodecs_attribute(_info, { pgClass, pgAttribute, attribute }) {
        makeEnum(attribute, `${pgClass.relname}.${pgAttribute.attname}`);
      },
      pgProcedures_PgResourceOptions(_info, { pgProc, resourceOptions: { codec, parameters } }) {
        for (const parameter of (parameters ?? []) as unknown as Parameter[]) {
          makeEnum(parameter, `${pgProc.proname}(${parameter.name})`);
        }
        if (!codec.isAnonymous) return;
        for (const [name, attribute] of Object.entries(codec.attributes ?? {})) {
          makeEnum(attribute, `${pgProc.proname}.${name}`);
        }
      },
    },
  },
};

type Parameter = { readonly name: string | null; codec: PgCodec };

const found = new Set<string>();

function makeEnum(place: Parameter | PgCodecAttribute, name: string): void {
  const codec = codecs.get(name);
  if (codec === undefined) return;
  found.add(name);
  place.codec = codec;
}
