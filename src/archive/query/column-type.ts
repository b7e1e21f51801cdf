const types: Readonly<Record<string, string>> = {
  bigint: "BIGINT",
  boolean: "BOOLEAN",
  date: "DATE",
  "double precision": "DOUBLE",
  integer: "INTEGER",
  jsonb: "JSON",
  real: "FLOAT",
  smallint: "SMALLINT",
  "timestamp with time zone": "TIMESTAMPTZ",
  uuid: "UUID",
};

const mostDigits = 38;

/** DuckDB's type that holds each value of PostgreSQL's, to the last digit; else the text of it. */
export function columnType(type: string): string {
  const [, digits, scale = "0"] = /^numeric\((\d+)(?:,(\d+))?\)$/.exec(type) ?? [];
  if (digits !== undefined && Number(digits) <= mostDigits) return `DECIMAL(${digits},${scale})`;
  return types[type] ?? "VARCHAR";
}
