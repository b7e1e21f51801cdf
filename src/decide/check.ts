import type { Sql } from "../postgres/connect.ts";
import type { Decision, Question } from "./types.ts";

/** What a decision would be now; takes nothing. */
export async function check(sql: Sql, question: Question): Promise<Decision> {
  const { apiKey, operation, sizeBytes } = question;
  const [decision] = await sql<[Decision]>`
    select *
    from rate_limiter.check_limit(
      rate_limiter.application_of_key(${apiKey}), ${operation}, ${sizeBytes}
    )
  `;
  return decision;
}
