import type { NameRegistry } from "../../worlds/name-registry.ts";
import { sixDigits } from "../amount.ts";
import type { Answer, Step } from "../format.ts";

export interface SettleLeaseStep extends Step {
  readonly id: string;
  readonly spent_tokens?: string | number;
  readonly spent_bytes?: string | number;
  readonly owed_tokens?: string | number;
  readonly owed_bytes?: string | number;
}

export async function settleLease(names: NameRegistry, step: SettleLeaseStep): Promise<Answer> {
  const { sql, epoch } = names;
  const { owner, id } = names.lease(step.id);
  // An empty lease was never made: there is nothing to settle.
  if (id === null) return { returned_tokens: sixDigits("0"), returned_bytes: sixDigits("0") };
  const [row] = await sql<[{ returned_tokens: string; returned_bytes: string }]>`
    select s.returned_tokens, s.returned_bytes
    from rate_limiter_internal.settle_lease_at(
      rate_limiter_internal.app_shard_key(${owner}),
      rate_limiter_internal.moment_after(${epoch}, ${step.at_us}),
      ${owner}, ${id}, ${step.spent_tokens ?? 0}, ${step.spent_bytes ?? 0},
      ${step.owed_tokens ?? 0}, ${step.owed_bytes ?? 0}
    ) as s
  `;
  return {
    returned_tokens: sixDigits(row.returned_tokens),
    returned_bytes: sixDigits(row.returned_bytes),
  };
}
