import type { Sql } from "../postgres/connect.ts";

/** Replays the dead letters that are named, or all of them; answers how many. */
export async function replayNotifications(sql: Sql, ids: readonly string[]): Promise<number> {
  const named = ids.length > 0 ? [...ids] : null;
  const [answer] = await sql<{ replayed: number }[]>`
    select rate_limiter_private.replay_notifications(${named}::uuid[]) as replayed
  `;
  return answer?.replayed ?? 0;
}
