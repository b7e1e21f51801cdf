import { micro, text } from "./amounts.ts";
import { type Decision, Limiter } from "./limiter.ts";
import { Refusal } from "./refusal.ts";
import type { BucketType, World } from "./world.ts";

export type Step = { at_us: number; call: string } & Record<string, unknown>;
export type Answer = Record<string, unknown>;

/** Longer than any vector file: only a lease that says so itself expires in one. */
const LEASE_SECONDS = 3600n;

/** Answers every step of a vector file in the shape of its `expect`. */
export function answers(world: World & { steps: Step[] }): Answer[] {
  const limiter = new Limiter(world);
  return world.steps.map((step) => {
    try {
      return answer(limiter, step);
    } catch (error) {
      if (error instanceof Refusal) return { error: error.word };
      throw error;
    }
  });
}

function answer(limiter: Limiter, step: Step): Answer {
  const at = BigInt(step.at_us);
  switch (step.call) {
    case "consume":
      return decision(
        limiter.consume(
          at,
          String(step.app),
          String(step.operation),
          BigInt((step.size as number | null) ?? 0),
          step.reference_id as string | undefined,
        ),
      );
    case "refund":
      return { refunded: limiter.refund(at, String(step.reference_id)) };
    case "settle": {
      const actual = BigInt(step.actual_size as number);
      return { settled: limiter.settle(at, String(step.reference_id), actual) };
    }
    case "lease": {
      const seconds = BigInt((step.duration_seconds as number | undefined) ?? LEASE_SECONDS);
      const { tokens, bytes } = limiter.lease(
        at,
        String(step.id),
        String(step.app),
        micro(String(step.tokens)),
        micro(String(step.bytes)),
        seconds,
      );
      return { tokens: text(tokens), bytes: text(bytes) };
    }
    case "settle_lease": {
      const spent = [micro(String(step.spent_tokens)), micro(String(step.spent_bytes))] as const;
      const { tokens, bytes } = limiter.settleLease(at, String(step.id), ...spent);
      return { returned_tokens: text(tokens), returned_bytes: text(bytes) };
    }
    case "borrow":
      return borrowed(limiter, at, step);
    case "repay": {
      const { paid, owed, status } = limiter.repay(at, String(step.id));
      return { paid: text(paid), owed: text(owed), status };
    }
    default:
      throw new Error(`the model does not know the call ${step.call}`);
  }
}

function borrowed(limiter: Limiter, at: bigint, step: Step): Answer {
  const type = step.kind as BucketType;
  const owner = limiter.ownerOf(String(step.app), type);
  if (owner === null) throw new Refusal("unknown_bucket");
  const { tokens, repayment, due } = limiter.borrow(
    at,
    String(step.id),
    { owner, type },
    micro(String(step.tokens)),
    BigInt(step.duration_seconds as number),
    lenderOf(step.lender as string | undefined, type),
  );
  return { tokens: text(tokens), repayment_tokens: text(repayment), due_us: Number(due) };
}

function lenderOf(owner: string | undefined, borrowed: BucketType) {
  if (owner == null) return null;
  const resource = borrowed.startsWith("iops") ? "iops" : "bandwidth";
  const type: BucketType = owner.startsWith("cluster:") ? `${resource}_l1` : `${resource}_l2`;
  return { owner, type };
}

function decision(made: Decision): Answer {
  return {
    allowed: made.allowed,
    reason: made.reason,
    cost: text(made.cost),
    remaining: made.remaining === null ? null : text(made.remaining),
    remaining_bytes: made.remainingBytes === null ? null : text(made.remainingBytes),
    retry_after_ms: made.retryAfterMs === null ? null : Number(made.retryAfterMs),
    delay_ms: Number(made.delayMs),
  };
}
