import postgres from "postgres";
import { logFor } from "../log.ts";
import { addArrayTypes } from "./array-types.ts";
import { sessionSettings } from "./session-settings.ts";
import { logIgnored, postgresOptions } from "./url-drivers.ts";
import { urlTarget } from "./url-target.ts";

export type Sql = postgres.Sql;
export type TransactionSql = postgres.TransactionSql;

const log = logFor("postgres");

/**
 * A pool for our own code. Dates stay text: a Date would lose the microseconds that the decisions
 * are made with. numeric and bigint are text as well, for the same reason.
 */
export function connect(url: string, options: postgres.Options<never> = {}): Sql {
  const target = urlTarget(url);
  logIgnored(target, "postgres", log);
  const sql = postgres({
    max: 4,
    ...postgresOptions(target),
    onnotice: (notice) => log.debug({ code: notice.code }, notice.message ?? "notice"),
    types: { timestamptz },
    fetch_types: false,
    ...options,
    connection: {
      application_name: target.applicationName ?? "storage-qos",
      ...sessionSettings,
      ...(target.options === undefined ? {} : { options: target.options }),
      ...options.connection,
    },
  }) as unknown as Sql;
  addArrayTypes(sql.options);
  return withEnd(sql);
}

const endSeconds = 5;

/** The driver's own end waits forever for a statement whose connection died. */
function withEnd(sql: Sql): Sql {
  const end = sql.end.bind(sql);
  return Object.assign(sql, {
    end: ({ timeout = endSeconds }: { timeout?: number } = {}) => end({ timeout }),
  });
}

const timestamptz = {
  to: 1184,
  from: [1082, 1114, 1184],
  serialize: (value: Date | string) => (value instanceof Date ? value.toISOString() : value),
  parse: (value: string) => value,
};

export async function withConnection<T>(
  url: string,
  use: (sql: Sql) => Promise<T>,
  options: postgres.Options<never> = {},
): Promise<T> {
  const sql = connect(url, { ...options, max: 1 });
  try {
    return await use(sql);
  } finally {
    await sql.end();
  }
}
