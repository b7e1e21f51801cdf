import type { NameRegistry } from "../../worlds/name-registry.ts";
import { sixDigits } from "../amount.ts";
import type { Answer, Step } from "../format.ts";

export interface BorrowStep extends Step {
  readonly app: string;
  readonly id: string;
  readonly kind: string;
  readonly tokens: string | number;
  readonly lender?: string | null;
  readonly duration_seconds: number;
}

interface Row {
  borrowing_id: string;
  tokens: string;
  repayment_tokens: string;
  due_us: string;
}

export async function borrow(names: NameRegistry, step: BorrowStep): Promise<Answer> {
  const { sql, epoch } = names;
  const borrower = names.bucketOwner(step.app, step.kind);
  const lender = step.lender == null ? null : names.owner(step.lender);
  const [row] = await sql<[Row]>`
    select
      b.borrowing_id, b.tokens, b.repayment_tokens,
      (extract(epoch from b.due_at - ${epoch}::timestamptz) * 1000000)::bigint as due_us
    from rate_limiter_internal.borrow_tokens_at(
      rate_limiter_internal.moment_after(${epoch}, ${step.at_us}),
      ${borrower}, ${step.kind}, ${step.tokens},
      make_interval(secs => ${step.duration_seconds}), ${lender}
    ) as b
  `;
  names.rememberBorrowing(step.id, borrower, row.borrowing_id);
  return {
    tokens: sixDigits(row.tokens),
    repayment_tokens: sixDigits(row.repayment_tokens),
    due_us: Number(row.due_us),
  };
}
