import { createHash } from "node:crypto";
import type { PgPool, Sql } from "./sql.ts";

interface Statement {
  readonly name: string;
  readonly text: string;
}

/** Each call site has one array of its strings for as long as the process lives. */
const statements = new WeakMap<TemplateStringsArray, Statement>();

/** Statements of the store, prepared, through a pool of `pg`. */
export function pgAsSql(pool: PgPool): Sql {
  const call = async (strings: TemplateStringsArray, ...values: unknown[]) => {
    const { rows } = await pool.query({ ...statementOf(strings), values });
    return rows;
  };
  // The store calls it with templates and nothing else that a pool of `postgres` can do.
  return call as unknown as Sql;
}

function statementOf(strings: TemplateStringsArray): Statement {
  let statement = statements.get(strings);
  if (statement === undefined) {
    const text = strings.reduce((before, next, index) => `${before}$${index}${next}`);
    // Whoever shares the pool may name statements too, and a name means one text.
    const name = `qos ${createHash("sha256").update(text).digest("hex").slice(0, 32)}`;
    statement = { name, text };
    statements.set(strings, statement);
  }
  return statement;
}
