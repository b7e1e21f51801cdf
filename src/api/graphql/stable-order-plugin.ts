import "postgraphile/graphile-build-pg";
import { type PgCodec, TYPES } from "postgraphile/@dataplan/pg";

interface Order {
  readonly attribute: string;
  readonly direction: "ASC" | "DESC";
}

interface QueryBuilder {
  readonly alias: unknown;
  orderBy(order: unknown): void;
  setOrderIsUnique(): void;
}

type Apply = (queryBuilder: QueryBuilder) => void;

/** In place of nulls, which stand apart by a flag of their own: any value of the type will do. */
const fillers: Readonly<Record<string, string>> = {
  ...{ uuid: "00000000-0000-0000-0000-000000000000", text: "", varchar: "", bool: "false" },
  ...{ int2: "0", int4: "0", int: "0", int8: "0", bigint: "0", float: "0", float8: "0" },
  ...{ numeric: "0", timestamptz: "epoch", date: "epoch", interval: "0", inet: "0.0.0.0" },
};

/**
 * Pages of rows that are equal in what they are ordered by go on where they ended. Two things of the
 * library are mended: it takes an order for unique where the column only begins a unique key, and it
 * compares cursors the wrong way round where one of two values is null. So every order ends in the
 * primary key, and columns with nulls are ordered by two expressions that have none.
 */
export const stableOrderPlugin: GraphileConfig.Plugin = {
  name: "QosStableOrderPlugin",
  version: "1.0.0",
  after: ["PgOrderAllAttributesPlugin"],
  schema: {
    hooks: {
      GraphQLEnumType_values(values, build, { scope }) {
        const codec = scope.pgCodec as PgCodec | undefined;
        if (!scope.isPgRowSortEnum || codec === undefined) return values;
        for (const [name, value] of Object.entries(values)) {
          const grafast = value.extensions?.grafast as { apply?: Apply } | undefined;
          // Rows of one primary key are one row.
          if (grafast?.apply === undefined || name.startsWith("PRIMARY_KEY_")) continue;
          const orders = ordersOf(grafast.apply);
          if (orders.some((order) => !isOrderable(codec, order))) delete values[name];
          else
            grafast.apply = (queryBuilder) => {
              for (const order of orders) addOrder(queryBuilder, order, codec, build.sql);
            };
        }
        return values;
      },
    },
  },
};

/** What an order of the library does, which depends on nothing. */
function ordersOf(apply: Apply): readonly Order[] {
  const orders: Order[] = [];
  apply({
    alias: undefined,
    orderBy: (order) => orders.push(order as Order),
    setOrderIsUnique: () => {},
  });
  return orders;
}

const attributeOf = (codec: PgCodec, { attribute }: Order) => codec.attributes?.[attribute];

function isOrderable(codec: PgCodec, order: Order): boolean {
  const attribute = attributeOf(codec, order);
  return attribute?.notNull === true || fillerOf(attribute?.codec) !== undefined;
}

function fillerOf(codec: PgCodec | undefined): string | undefined {
  if (codec === undefined) return undefined;
  const { values } = codec as { values?: readonly { value: string }[] };
  return values?.[0]?.value ?? fillers[codec.name];
}

function addOrder(
  queryBuilder: QueryBuilder,
  order: Order,
  codec: PgCodec,
  sql: GraphileBuild.Build["sql"],
): void {
  const attribute = attributeOf(codec, order);
  const filler = fillerOf(attribute?.codec);
  if (attribute === undefined || attribute.notNull === true || filler === undefined) {
    queryBuilder.orderBy(order);
    return;
  }
  const column = sql`${queryBuilder.alias as never}.${sql.identifier(order.attribute)}`;
  const common = { direction: order.direction, nullable: false };
  const type = attribute.codec.sqlType;
  queryBuilder.orderBy({ ...common, fragment: sql`(${column} is null)`, codec: TYPES.boolean });
  queryBuilder.orderBy({
    ...common,
    fragment: sql`coalesce(${column}, ${sql.literal(filler)}::${type})`,
    codec: attribute.codec,
  });
}
