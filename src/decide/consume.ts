import type { Sql } from "../postgres/connect.ts";
import type { Decision, Question } from "./types.ts";

/** Decides, and takes what the operation costs. */
export async function consume(sql: Sql, question: Question): Promise<Decision> {
  const { apiKey, operation, sizeBytes } = question;
  const [decision] = await sql<[Decision]>`
    select * from rate_limiter.consume_with_key(${apiKey}, ${operation}, ${sizeBytes})
  `;
  return decision;
}
