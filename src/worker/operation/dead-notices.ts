import type { Sql } from "../../postgres/connect.ts";

export interface DeadNotice {
  readonly notice_id: string;
  readonly event: string;
  readonly channel: string;
  readonly attempts: number;
  readonly last_error: string | null;
  readonly created_at: string;
}

export async function deadNotices(sql: Sql): Promise<readonly DeadNotice[]> {
  return sql<DeadNotice[]>`select * from rate_limiter_private.dead_notifications()`;
}
