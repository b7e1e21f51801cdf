import type { NameRegistry } from "../../worlds/name-registry.ts";
import type { Answer, Step } from "../format.ts";

export interface RefundStep extends Step {
  readonly reference_id: string;
  readonly app?: string;
}

export async function refund(names: NameRegistry, step: RefundStep): Promise<Answer> {
  const { sql, epoch } = names;
  const reference = step.reference_id;
  const application =
    step.app === undefined ? names.ownerOfReference(reference) : names.application(step.app);
  const [row] = await sql<[{ refunded: boolean }]>`
    select r.refunded
    from rate_limiter_internal.refund_at(
      rate_limiter_internal.app_shard_key(${application}),
      rate_limiter_internal.moment_after(${epoch}, ${step.at_us}), ${application}, ${reference}
    ) as r
  `;
  return { refunded: row.refunded };
}
