/** As many rows as the API gives at once. */
export const pageSize = 500;

interface Page<Row> {
  readonly nodes: readonly Row[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

/** All rows of a connection, page by page. */
export async function everyNode<Row>(
  ask: (after: string | null) => Promise<Page<Row>>,
): Promise<Row[]> {
  const rows: Row[] = [];
  let after: string | null = null;
  for (;;) {
    const { nodes, pageInfo } = await ask(after);
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
