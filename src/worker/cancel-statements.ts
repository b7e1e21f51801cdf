import type { Pool, PoolClient } from "pg";

/** The process id of a connection at the server, which the driver's types leave out. */
interface WithProcess {
  readonly processID: number | null;
}

export async function cancelStatements(pool: Pool, clients: readonly PoolClient[]): Promise<void> {
  const processes = clients.map((client) => (client as unknown as WithProcess).processID);
  await pool.query("select pg_cancel_backend(pid) from unnest($1::integer[]) as pid", [processes]);
}
