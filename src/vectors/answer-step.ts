import type { NameRegistry } from "../worlds/name-registry.ts";
import { type BorrowStep, borrow } from "./calls/borrow.ts";
import { type ConsumeStep, consume } from "./calls/consume.ts";
import { type LeaseStep, lease } from "./calls/lease.ts";
import { type RefundStep, refund } from "./calls/refund.ts";
import { type RepayStep, repay } from "./calls/repay.ts";
import { type SettleStep, settle } from "./calls/settle.ts";
import { type SettleLeaseStep, settleLease } from "./calls/settle-lease.ts";
import type { Answer, Step } from "./format.ts";

/** Answers a step through the function that the live call takes, at the step's own moment. */
export async function answerStep(names: NameRegistry, step: Step): Promise<Answer> {
  try {
    return await call(names, step);
  } catch (error) {
    const word = refusalWord(error);
    if (word === undefined) throw error;
    return { error: word };
  }
}

function call(names: NameRegistry, step: Step): Promise<Answer> {
  switch (step.call) {
    case "consume":
      return consume(names, step as ConsumeStep);
    case "refund":
      return refund(names, step as RefundStep);
    case "settle":
      return settle(names, step as SettleStep);
    case "lease":
      return lease(names, step as LeaseStep);
    case "settle_lease":
      return settleLease(names, step as SettleLeaseStep);
    case "borrow":
      return borrow(names, step as BorrowStep);
    case "repay":
      return repay(names, step as RepayStep);
    default:
      throw new Error(`no such call: ${step.call}`);
  }
}

/** The limiter's own errors have stable messages: `borrow limit` is the word `borrow_limit`. */
function refusalWord(error: unknown): string | undefined {
  const { code, message } = error as { code?: string; message: string };
  return code?.startsWith("QS") ? message.replaceAll(" ", "_") : undefined;
}
