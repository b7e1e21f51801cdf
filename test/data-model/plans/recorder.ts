import { connect, type Sql } from "../../../src/postgres/connect.ts";

/** A scan that was really carried out: partitions that were pruned at run time do not count. */
export interface Scan {
  readonly relation: string;
  readonly isSequential: boolean;
}

interface Plan {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Actual Loops"?: number;
  readonly Plans?: readonly Plan[];
}

export interface Recorder {
  readonly sql: Sql;
  /** What the statements of `work` scanned, those inside of functions included. */
  scansOf(work: (sql: Sql) => PromiseLike<unknown>): Promise<Scan[]>;
  close(): Promise<void>;
}

/** Reads the plans that auto_explain tells the client as notices. Needs a superuser. */
export async function recordPlans(url: string): Promise<Recorder> {
  let plans: Plan[] = [];
  const sql = connect(url, {
    max: 1,
    onnotice: ({ message = "" }) => {
      const json = /plan:\n(\{.*\})/s.exec(message)?.[1];
      if (json !== undefined) plans.push(JSON.parse(json).Plan);
    },
  });
  await sql.unsafe(`
    load 'auto_explain';
    set auto_explain.log_min_duration = 0;
    set auto_explain.log_nested_statements = on;
    set auto_explain.log_analyze = on;
    set auto_explain.log_timing = off;
    set auto_explain.log_format = json;
    set auto_explain.log_level = notice;
  `);
  return {
    sql,
    async scansOf(work) {
      plans = [];
      await work(sql);
      return plans.flatMap(scansIn);
    },
    close: () => sql.end(),
  };
}

function scansIn(plan: Plan): Scan[] {
  if (plan["Actual Loops"] === 0) return [];
  const relation = plan["Relation Name"];
  const isScan = relation !== undefined && plan["Node Type"].includes("Scan");
  return [
    ...(isScan ? [{ relation, isSequential: plan["Node Type"] === "Seq Scan" }] : []),
    ...(plan.Plans ?? []).flatMap(scansIn),
  ];
}
