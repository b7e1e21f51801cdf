import { createHash } from "node:crypto";
import type { Sql } from "./sql.ts";

/** A client or a pool of `pg`. */
export interface RunsStatements {
  query(query: {
    readonly name?: string;
    readonly text: string;
    readonly values: unknown[];
  }): Promise<{ rows: unknown[] }>;
}

interface Statement {
  readonly name: string;
  readonly text: string;
}

/** Each call site has one strings array for the life of the process. */
const statements = new WeakMap<TemplateStringsArray, Statement>();

/** Runs the store's statements on `pg`. Those without a name are not prepared. */
export function sqlOnPg(client: RunsStatements, isPrepared: boolean): Sql {
  const call = async (strings: TemplateStringsArray, ...values: unknown[]) => {
    if (values.includes(undefined)) throw undefinedValue();
    const { name, text } = statementOf(strings);
    const { rows } = await client.query(isPrepared ? { name, text, values } : { text, values });
    return rows;
  };
  // The store uses tagged templates only.
  return call as unknown as Sql;
}

/** `pg` would send null. */
function undefinedValue(): Error {
  return Object.assign(new Error("a value is undefined"), { code: "UNDEFINED_VALUE" });
}

function statementOf(strings: TemplateStringsArray): Statement {
  let statement = statements.get(strings);
  if (statement === undefined) {
    const text = strings.reduce((before, next, index) => `${before}$${index}${next}`);
    // Other users of the pool may name statements too, and a name stands for one text.
    const name = `qos ${createHash("sha256").update(text).digest("hex").slice(0, 32)}`;
    statement = { name, text };
    statements.set(strings, statement);
  }
  return statement;
}
