import type { JobHelpers } from "graphile-worker";

export async function settleNotification(
  helpers: JobHelpers,
  noticeId: string,
  status: "sent" | "pending" | "dead",
  error?: string,
): Promise<void> {
  await helpers.query("select rate_limiter_private.settle_notification($1, $2, $3)", [
    noticeId,
    status,
    error ?? null,
  ]);
}
