import { loadScripts } from "../bench/open-database.ts";
import { withThrowawayDatabase } from "../migrations/throwaway-database.ts";
import type { Sql } from "../postgres/connect.ts";
import { explainCall } from "./explain-call.ts";
import { explainReport } from "./report.ts";

const applicationCount = 100;

/** Explains one call in a world of its own, which is removed afterwards. */
export function explainCommand(name: string, plans: boolean): Promise<string> {
  return withThrowawayDatabase(async ({ url, sql }) => {
    await makeExplainedWorld(sql, applicationCount);
    return explainReport(await explainCall(url, name), plans);
  });
}

/** The benchmark's world: applications with quotas of both kinds on one cluster. */
export async function makeExplainedWorld(sql: Sql, applications: number): Promise<void> {
  await loadScripts(sql);
  await sql.unsafe(`call bench.make_world(${applications})`);
  // Without statistics the plans would be those of empty tables.
  await sql`vacuum analyze`;
}
