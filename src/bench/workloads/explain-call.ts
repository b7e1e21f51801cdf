import type { Sql } from "../../postgres/connect.ts";
import { readScript, statementsOf } from "../script.ts";

/** What one call takes, whatever the speed of the machine. */
export interface CallCounts {
  readonly walRecords: number;
  readonly walBytes: number;
  /** Pages looked at, in memory or not. */
  readonly buffers: number;
}

interface Plan {
  readonly "Shared Hit Blocks": number;
  readonly "Shared Read Blocks": number;
  readonly "WAL Records": number;
  readonly "WAL Bytes": number;
}

/** Calls the only statement of a script, and counts what it took, functions within included. */
export async function explainCall(sql: Sql, script: string, n: number): Promise<CallCounts> {
  const [statement] = statementsOf(readScript(script));
  const literal = statement?.text.replaceAll("$1", `'${n}'`);
  const rows = await sql.unsafe<{ "QUERY PLAN": [{ Plan: Plan }] }[]>(
    `explain (analyze, buffers, wal, timing off, format json) ${literal}`,
  );
  const plan = rows[0]?.["QUERY PLAN"][0].Plan;
  if (plan === undefined) throw new Error(`no plan of ${script}`);
  return {
    walRecords: plan["WAL Records"],
    walBytes: plan["WAL Bytes"],
    buffers: plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
  };
}
