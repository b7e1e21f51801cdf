import type { NameRegistry } from "../../worlds/name-registry.ts";
import { sixDigits } from "../amount.ts";
import type { Answer, Step } from "../format.ts";

export interface SettleStep extends Step {
  readonly reference_id: string;
  readonly actual_size: number | string | null;
  readonly app?: string;
}

export async function settle(names: NameRegistry, step: SettleStep): Promise<Answer> {
  const { sql, epoch } = names;
  const reference = step.reference_id;
  const application =
    step.app === undefined ? names.ownerOfReference(reference) : names.application(step.app);
  const [row] = await sql<[{ settled: boolean; cost: string | null }]>`
    select s.settled, s.cost
    from rate_limiter_internal.settle_at(
      rate_limiter_internal.app_shard_key(${application}),
      rate_limiter_internal.moment_after(${epoch}, ${step.at_us}),
      ${application}, ${reference}, ${step.actual_size}
    ) as s
  `;
  return { settled: row.settled, cost: sixDigits(row.cost) };
}
