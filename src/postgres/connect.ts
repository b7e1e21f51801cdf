import postgres from "postgres";
import { logFor } from "../log.ts";
import { databaseOf } from "./url.ts";

export type Sql = postgres.Sql;
export type TransactionSql = postgres.TransactionSql;

const log = logFor("postgres");

/**
 * A pool for our own code. Dates stay text: a Date would lose the microseconds that the decisions
 * are made with. numeric and bigint are text as well, for the same reason.
 */
export function connect(url: string, options: postgres.Options<never> = {}): Sql {
  return postgres(url, {
    // The library would take a name such as my%20db for what it is not.
    database: databaseOf(url),
    max: 4,
    onnotice: (notice) => log.debug({ code: notice.code }, notice.message ?? "notice"),
    types: { timestamptz },
    ...options,
    // Whatever a database of other programs has been set to: dates are read in ISO 8601.
    connection: { application_name: "storage-qos", DateStyle: "ISO", ...options.connection },
  }) as unknown as Sql;
}

const timestamptz = {
  to: 1184,
  from: [1082, 1114, 1184],
  serialize: (value: Date | string) => (value instanceof Date ? value.toISOString() : value),
  parse: (value: string) => value,
};

export async function withConnection<T>(url: string, use: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = connect(url, { max: 1 });
  try {
    return await use(sql);
  } finally {
    await sql.end();
  }
}
