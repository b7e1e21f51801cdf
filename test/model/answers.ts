import { MICRO, micro, text } from "./amounts.ts";
import { Limiter } from "./limiter.ts";
import { ModelError } from "./model-error.ts";
import type { Decision } from "./operations.ts";
import { type BucketType, epochOf, type World } from "./world.ts";

export type Step = { at_us: number; call: string } & Record<string, unknown>;
export type Answer = Record<string, unknown>;
export type Scenario = World & { steps: Step[] };

const NOTHING_TO_SETTLE: Answer = { returned_tokens: text(0n), returned_bytes: text(0n) };

/** Answers every step of a vector file in the shape of its `expect`. */
export function answers(scenario: Scenario): Answer[] {
  return run(scenario).answers;
}

/** The answers, and the limiter as the steps left it. */
export function run(scenario: Scenario): { answers: Answer[]; limiter: Limiter } {
  const play = new Play(scenario);
  return { answers: scenario.steps.map((step) => play.answer(step)), limiter: play.limiter };
}

/** One step at a time, for those who look at the limiter in between. */
export class Play {
  readonly limiter: Limiter;
  readonly #epoch: bigint;
  readonly #owners = new Map<string, string>();
  /** Leases that granted nothing were never made. */
  readonly #empty = new Set<string>();

  constructor(world: World) {
    this.limiter = new Limiter(world);
    this.#epoch = epochOf(world);
  }

  answer(step: Step): Answer {
    try {
      return this.#answer(step);
    } catch (error) {
      if (error instanceof ModelError) return { error: error.word };
      throw error;
    }
  }

  #answer(step: Step): Answer {
    const { limiter } = this;
    const at = this.at(step);
    switch (step.call) {
      case "consume":
        return this.#consume(at, step);
      case "refund": {
        const [app, reference] = this.#reference(step);
        return { refunded: limiter.operations.refund(at, app, reference) };
      }
      case "settle": {
        const [app, reference] = this.#reference(step);
        const actual = BigInt(step.actual_size as number);
        const cost = limiter.operations.settle(at, app, reference, actual);
        return { settled: cost !== null, cost: cost === null ? null : text(cost) };
      }
      case "lease":
        return this.#lease(at, step);
      case "settle_lease": {
        if (this.#empty.has(String(step.id))) return NOTHING_TO_SETTLE;
        const spent = amounts(step.spent_tokens, step.spent_bytes);
        const owed = amounts(step.owed_tokens, step.owed_bytes);
        const { iops, bandwidth } = limiter.leases.settle(at, String(step.id), spent, owed);
        return { returned_tokens: text(iops), returned_bytes: text(bandwidth) };
      }
      case "borrow":
        return this.#borrow(at, step);
      case "repay": {
        const { paid, owed, status } = limiter.borrowings.repay(at, String(step.id));
        return { paid: text(paid), owed: text(owed), status };
      }
      default:
        throw new Error(`the model does not know the call ${step.call}`);
    }
  }

  /** The moment of a step, in microseconds since 1970. */
  at(step: Step): bigint {
    return this.#epoch + BigInt(step.at_us);
  }

  #consume(at: bigint, step: Step): Answer {
    const app = String(step.app);
    const size = step.size == null ? null : BigInt(step.size as number);
    const reference = (step.reference_id as string | null | undefined) ?? null;
    if (reference !== null) this.#owners.set(reference, app);
    const operation = { app, operation: String(step.operation), size };
    return decision(this.limiter.operations.consume(at, operation, reference));
  }

  /** A settle or a refund need not say whose the reference is. */
  #reference(step: Step): [app: string, reference: string] {
    const reference = String(step.reference_id);
    return [String(step.app ?? this.#owners.get(reference)), reference];
  }

  #lease(at: bigint, step: Step): Answer {
    const seconds = step.duration_seconds as number | undefined;
    const { iops, bandwidth } = this.limiter.leases.lease(
      at,
      String(step.id),
      String(step.app),
      amounts(step.tokens, step.bytes),
      seconds === undefined ? null : at + BigInt(seconds) * MICRO,
    );
    if (iops.granted + bandwidth.granted === 0n) this.#empty.add(String(step.id));
    return { tokens: text(iops.granted), bytes: text(bandwidth.granted) };
  }

  #borrow(at: bigint, step: Step): Answer {
    const { tokens, repayment, due } = this.limiter.borrowings.borrow(at, String(step.id), {
      app: String(step.app),
      type: step.kind as BucketType,
      tokens: micro(String(step.tokens)),
      seconds: BigInt(step.duration_seconds as number),
      lender: (step.lender as string | null | undefined) ?? null,
    });
    return {
      tokens: text(tokens),
      repayment_tokens: text(repayment),
      due_us: Number(due - this.#epoch),
    };
  }
}

function amounts(tokens: unknown, bytes: unknown) {
  return { iops: micro(String(tokens ?? 0)), bandwidth: micro(String(bytes ?? 0)) };
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
