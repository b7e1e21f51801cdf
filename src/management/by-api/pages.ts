import type { ApiClient } from "./api-client.ts";

/** As many rows as the API gives at once. */
export const pageSize = 500;

interface Page<Row> {
  readonly nodes: readonly Row[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

/** All rows of a connection of the API, page by page: `query` takes `$first`, `$after` and `$filter`. */
export async function everyNode<Row>(
  client: ApiClient,
  connection: string,
  query: string,
  filter?: object,
  first = pageSize,
): Promise<Row[]> {
  const rows: Row[] = [];
  let after: string | null = null;
  for (;;) {
    const variables = { first, after, filter };
    const answer: Record<string, Page<Row>> = await client.ask(query, variables);
    const { nodes, pageInfo } = answer[connection] as Page<Row>;
    rows.push(...nodes);
    if (!pageInfo.hasNextPage) return rows;
    after = pageInfo.endCursor;
  }
}

/** All rows of a list that knows only how many to skip. */
export async function everyRow<Row>(ask: (offset: number) => Promise<readonly Row[]>) {
  const rows: Row[] = [];
  for (;;) {
    const page = await ask(rows.length);
    rows.push(...page);
    if (page.length < pageSize) return rows;
  }
}
