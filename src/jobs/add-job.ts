import type { Sql } from "../postgres/connect.ts";

/** Answers the id of the job. */
export async function addJob(sql: Sql, task: string, payload: object): Promise<string> {
  const [job] = await sql<{ id: string }[]>`
    select id from graphile_worker.add_job(${task}, ${sql.json(payload as never)}::json)
  `;
  return job?.id ?? "";
}
