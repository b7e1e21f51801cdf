import type { TransactionSql } from "../../postgres/connect.ts";
import type { ExportRequest } from "./export-request.ts";
import { type InTransaction, type Pages, pageSize } from "./pages.ts";
import { keyOf, type Row } from "./row.ts";

/** Samples of one application after those of another. */
export async function* metricsPages(inTransaction: InTransaction, wanted: ExportRequest): Pages {
  const { appId, after } = wanted;
  let applications: readonly string[] = appId === null ? after.slice(0, 1) : [appId];
  yield* samplesOf(inTransaction, wanted, applications);
  while (appId === null) {
    const last = applications.at(-1);
    applications = await inTransaction((sql) => readApplications(sql, last));
    if (applications.length === 0) return;
    yield* samplesOf(inTransaction, { ...wanted, after: [] }, applications);
  }
}

async function* samplesOf(
  inTransaction: InTransaction,
  wanted: ExportRequest,
  applications: readonly string[],
): Pages {
  let [left, after] = [applications, wanted.after];
  while (left.length > 0) {
    const rows = await inTransaction((sql) => readPage(sql, wanted, left, after));
    if (rows.length > 0) yield rows;
    if (rows.length < pageSize) return;
    after = keyOf("metrics", rows.at(-1));
    left = left.slice(left.indexOf(after[0] ?? ""));
  }
}

async function readApplications(
  sql: TransactionSql,
  after: string | undefined,
): Promise<readonly string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from rate_limiter_admin.export_applications(${after ?? null}, ${pageSize}) as id
  `;
  return rows.map(({ id }) => id);
}

/** Through JSON, moments are written as in ISO 8601. */
async function readPage(
  sql: TransactionSql,
  { since, until }: ExportRequest,
  applications: readonly string[],
  [, timestamp = null, metricId = null]: readonly (string | null)[],
): Promise<readonly Row[]> {
  return sql<Row[]>`
    select
      m.application_id as "appId", m.application_name as "appName",
      to_jsonb(m.measured_at) #>> '{}' as "timestamp", m.metric_name as "metricName", m.value,
      m.unit, m.tags, m.metric_id as "metricId"
    from rate_limiter_admin.export_metrics(
      ${since}, ${until}, ${[...applications]}::uuid[], ${timestamp}, ${metricId}, ${pageSize}
    ) as m
  `;
}
