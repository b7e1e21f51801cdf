import type { Sql } from "./sql.ts";

/** What a process says of itself; counts are those since its start. */
export interface ProcessReport {
  readonly processId: string;
  readonly name: string;
  readonly host: string;
  readonly version: string;
  readonly uptimeMs: number;
  readonly applications: number;
  readonly databaseCalls: number;
  readonly outages: number;
  readonly uncharged: number;
}

export async function reportProcess(sql: Sql, report: ProcessReport): Promise<void> {
  await sql`
    select rate_limiter.report_process(
      ${report.processId}::uuid, 'client', ${report.name}, ${report.host}, ${report.version},
      ${Math.round(report.uptimeMs)}::double precision * interval '1 millisecond',
      ${report.applications}::integer, ${report.databaseCalls}::bigint,
      ${report.outages}::bigint, ${report.uncharged}::bigint
    )
  `;
}

export async function endProcess(sql: Sql, processId: string): Promise<void> {
  await sql`select rate_limiter.end_process(${processId}::uuid)`;
}
