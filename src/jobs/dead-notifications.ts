import type { Sql } from "../postgres/connect.ts";

export interface DeadNotification {
  readonly notification_id: string;
  readonly event: string;
  readonly channel: string;
  readonly attempts: number;
  readonly last_error: string | null;
  readonly created_at: string;
}

export async function deadNotifications(sql: Sql): Promise<readonly DeadNotification[]> {
  return sql<DeadNotification[]>`select * from rate_limiter_private.dead_notifications()`;
}
