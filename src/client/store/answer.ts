import { type Decision, layerOf, type Reason } from "../decision.ts";

/** A row of consume() or consume_batch(). */
export interface Answer {
  readonly allowed: boolean;
  readonly reason: Reason | null;
  readonly remaining: string | null;
  readonly retry_after_ms: string | null;
  readonly delay_ms: string | null;
}

export function decisionOf(answer: Answer): Decision {
  return {
    allowed: answer.allowed,
    layer: layerOf(answer.reason),
    reason: answer.reason,
    retryAfterMs: answer.retry_after_ms === null ? null : Number(answer.retry_after_ms),
    delayMs: Number(answer.delay_ms ?? 0),
    remaining: answer.remaining === null ? null : Number(answer.remaining),
  };
}
