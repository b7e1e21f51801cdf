import { type BorrowStep, borrow } from "./calls/borrow.ts";
import { type ConsumeStep, consume } from "./calls/consume.ts";
import { type LeaseStep, lease } from "./calls/lease.ts";
import { type RefundStep, refund } from "./calls/refund.ts";
import { type RepayStep, repay } from "./calls/repay.ts";
import { type SettleStep, settle } from "./calls/settle.ts";
import { type SettleLeaseStep, settleLease } from "./calls/settle-lease.ts";
import type { Answer, Step } from "./format.ts";
import type { Scene } from "./scene.ts";

/** Answers a step through the function that the live call takes, at the step's own moment. */
export async function answerStep(scene: Scene, step: Step): Promise<Answer> {
  try {
    return await call(scene, step);
  } catch (error) {
    const word = refusalWord(error);
    if (word === undefined) throw error;
    return { error: word };
  }
}

function call(scene: Scene, step: Step): Promise<Answer> {
  switch (step.call) {
    case "consume":
      return consume(scene, step as ConsumeStep);
    case "refund":
      return refund(scene, step as RefundStep);
    case "settle":
      return settle(scene, step as SettleStep);
    case "lease":
      return lease(scene, step as LeaseStep);
    case "settle_lease":
      return settleLease(scene, step as SettleLeaseStep);
    case "borrow":
      return borrow(scene, step as BorrowStep);
    case "repay":
      return repay(scene, step as RepayStep);
    default:
      throw new Error(`no such call: ${step.call}`);
  }
}

/** The limiter's own errors have stable messages: `borrow limit` is the word `borrow_limit`. */
function refusalWord(error: unknown): string | undefined {
  const { code, message } = error as { code?: string; message: string };
  return code?.startsWith("QS") ? message.replaceAll(" ", "_") : undefined;
}
