import type { Decision } from "./types.ts";

export interface Outcome {
  readonly allowed: number;
  readonly denied: number;
  /** The first denial, else the last decision. */
  readonly decision: Decision;
}

/** A few lines that say what was decided, why, and what comes next. */
export function describeOutcome({ allowed, denied, decision }: Outcome): string {
  const { cost, remaining, remaining_bytes: bytes, reason, delay_ms: delay } = decision;
  const counts = allowed + denied > 1 ? [`operations: ${allowed} allowed, ${denied} denied`] : [];
  const head = denied > 0 ? "denied" : "allowed";
  return [
    ...counts,
    `${counts.length > 0 && denied > 0 ? "first denial" : head}: cost ${cost} tokens`,
    ...(reason === null ? [] : [`reason: ${reason}`]),
    ...(denied > 0 ? [`retry: ${retry(decision)}`] : []),
    ...(Number(delay) > 0 ? [`hold back: ${delay} ms`] : []),
    `the application's buckets hold: ${remaining ?? "unlimited"} tokens, ${bytes ?? "unlimited"} bytes`,
  ].join("\n");
}

function retry({ retry_after_ms: wait }: Decision): string {
  return wait === null ? "never: the buckets cannot hold what it costs" : `after ${wait} ms`;
}
