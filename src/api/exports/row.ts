export type Row = Readonly<Record<string, unknown>>;

/** Rows fetched at once: as many as the server ever holds for one export. */
export const batchSize = 1_000;
