import type { NameRegistry } from "../../worlds/name-registry.ts";
import { sixDigits } from "../amount.ts";
import type { Answer, Step } from "../format.ts";

export interface RepayStep extends Step {
  readonly id: string;
}

export async function repay(names: NameRegistry, step: RepayStep): Promise<Answer> {
  const { sql, epoch } = names;
  const { owner, id } = names.borrowing(step.id);
  const [row] = await sql<[{ paid: string; owed: string; status: string }]>`
    select r.paid, r.owed, r.status
    from rate_limiter_internal.repay_borrowing_at(
      rate_limiter_internal.moment_after(${epoch}, ${step.at_us}), ${owner}, ${id}
    ) as r
  `;
  return { paid: sixDigits(row.paid), owed: sixDigits(row.owed), status: row.status };
}
