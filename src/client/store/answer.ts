import { type Decision, decisionFor, type Reason } from "../decisions/decision.ts";

/** A row of consume() or consume_batch(). */
export interface Answer {
  readonly allowed: boolean;
  readonly reason: Reason | null;
  readonly remaining: string | null;
  readonly remaining_bytes: string | null;
  readonly retry_after_ms: string | null;
  readonly delay_ms: string | null;
}

export function decisionOf(answer: Answer): Decision {
  return decisionFor(answer.allowed, answer.reason, {
    retryAfterMs: numberOf(answer.retry_after_ms),
    delayMs: Number(answer.delay_ms ?? 0),
    remaining: numberOf(answer.remaining),
    remainingBytes: numberOf(answer.remaining_bytes),
  });
}

function numberOf(text: string | null): number | null {
  return text === null ? null : Number(text);
}
