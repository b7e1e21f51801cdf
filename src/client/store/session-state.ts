import type { UrlTarget } from "../../postgres/url-target.ts";
import type { RunsStatements } from "./sql-on-pg.ts";

export interface SessionState {
  readonly pid: number;
  readonly is_standby: boolean;
  readonly is_read_only: boolean;
}

export async function sessionState(client: RunsStatements): Promise<SessionState> {
  const { rows } = await client.query({
    text: `
      select
        pg_backend_pid() as pid,
        pg_is_in_recovery() as is_standby,
        current_setting('transaction_read_only') = 'on' as is_read_only
    `,
    values: [],
  });
  return rows[0] as SessionState;
}

/** Behind a pooler the process id is the pooler's own, and nothing may be prepared. */
export async function isDirect(client: RunsStatements): Promise<boolean> {
  const { processID } = client as { processID?: number | null };
  if (processID == null) return true;
  return (await sessionState(client)).pid === processID;
}

/** Among several hosts the one that can write is wanted, unless the URL says otherwise. */
export function requireAttributes(target: UrlTarget, state: SessionState): void {
  const wanted = target.sessionAttributes ?? (target.hosts.length > 1 ? "read-write" : "any");
  const isRight = {
    any: true,
    "read-write": !state.is_standby && !state.is_read_only,
    "read-only": state.is_standby || state.is_read_only,
    primary: !state.is_standby,
    standby: state.is_standby,
    "prefer-standby": true,
  }[wanted];
  if (!isRight) throw Object.assign(new Error(`the session is not ${wanted}`), { code: "25006" });
}
