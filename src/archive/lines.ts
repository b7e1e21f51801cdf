import type { PoolClient } from "pg";

const linesPerFetch = 2_000;

export interface ExportCall {
  readonly statement: string;
  readonly values: readonly string[];
}

/** The lines that a call answers, a few at a time, in the transaction that the client is in. */
export async function* readLines(
  client: PoolClient,
  { statement, values }: ExportCall,
): AsyncGenerator<string> {
  await client.query(`declare archive_lines no scroll cursor for ${statement}`, [...values]);
  for (;;) {
    const answer = await client.query<{ line: string }>(
      `fetch forward ${linesPerFetch} from archive_lines`,
    );
    if (answer.rows.length === 0) break;
    yield answer.rows.map((row) => `${row.line}\n`).join("");
  }
  await client.query("close archive_lines");
}
