/**
 * What sessions of the product are set to, whatever the server, the database or the login says: the
 * functions of the database refuse every other isolation level, and values are read and spelled in
 * one way. Migrations have backslashes in plain strings. Statements of the control plane take
 * milliseconds, and their compilation half a second.
 */
export const sessionSettings: Readonly<Record<string, string>> = {
  default_transaction_isolation: "read committed",
  DateStyle: "ISO",
  TimeZone: "UTC",
  IntervalStyle: "postgres",
  bytea_output: "hex",
  extra_float_digits: "1",
  standard_conforming_strings: "on",
  jit: "off",
};
