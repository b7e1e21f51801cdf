import type { JobHelpers } from "graphile-worker";

export async function recordDelivery(
  helpers: JobHelpers,
  notificationId: string,
  status: "sent" | "pending" | "dead",
  error?: string,
): Promise<void> {
  await helpers.query("select rate_limiter_private.record_delivery($1, $2, $3)", [
    notificationId,
    status,
    error ?? null,
  ]);
}
