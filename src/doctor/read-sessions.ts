import type { Sql } from "../postgres/connect.ts";
import type { Facts } from "./facts.ts";

export type SessionFacts = Pick<
  Facts,
  "connections" | "replicas" | "oldestSnapshotSeconds" | "seesAllSessions"
>;

/** Of all sessions, as the login: the role that owns the schema does not see those of others. */
export async function readSessions(sql: Sql): Promise<SessionFacts> {
  const [row] = await sql.begin(async (own) => {
    await own`set local role none`;
    return own<{ facts: SessionFacts }[]>`
      select jsonb_build_object(
        -- The kind of another login's session is hidden where the login may not see all of it.
        'connections', (
          select count(*)
          from pg_stat_activity as a
          where a.datid is not null
            and coalesce(a.backend_type, 'client backend') = 'client backend'
        ),
        'replicas', (
          select coalesce(
            jsonb_agg(jsonb_build_object(
              'name', r.application_name,
              'lagSeconds', coalesce(extract(epoch from r.replay_lag), 0)
            )),
            '[]'
          )
          from pg_stat_replication as r
        ),
        'oldestSnapshotSeconds', (
          select coalesce(max(extract(epoch from clock_timestamp() - a.xact_start)), 0)
          from pg_stat_activity as a
          where a.pid <> pg_backend_pid()
            and (a.backend_xmin is not null or a.backend_xid is not null)
        ),
        'seesAllSessions', pg_has_role('pg_read_all_stats', 'usage')
      ) as facts
    `;
  });
  if (row === undefined) throw new Error("the database answered nothing");
  return row.facts;
}
