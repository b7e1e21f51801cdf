import type { NameRegistry } from "../../worlds/name-registry.ts";
import { sixDigits } from "../amount.ts";
import type { Answer, Step } from "../format.ts";

export interface ConsumeStep extends Step {
  readonly app: string;
  readonly operation: string;
  readonly size?: number | string | null;
  readonly reference_id?: string | null;
}

interface Row {
  allowed: boolean;
  reason: string | null;
  cost: string;
  remaining: string | null;
  remaining_bytes: string | null;
  retry_after_ms: string | null;
  delay_ms: string;
}

export async function consume(names: NameRegistry, step: ConsumeStep): Promise<Answer> {
  const { sql, epoch } = names;
  const application = names.application(step.app);
  const reference = step.reference_id ?? null;
  if (reference !== null) names.rememberReference(reference, application);
  const [row] = await sql<[Row]>`
    select d.allowed, d.reason, d.cost, d.remaining, d.remaining_bytes, d.retry_after_ms, d.delay_ms
    from rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${application}),
      rate_limiter_internal.moment_after(${epoch}, ${step.at_us}),
      ${application}, ${step.operation}, ${step.size ?? null}, ${reference}
    ) as d
  `;
  return {
    allowed: row.allowed,
    reason: row.reason,
    cost: sixDigits(row.cost),
    remaining: sixDigits(row.remaining),
    remaining_bytes: sixDigits(row.remaining_bytes),
    retry_after_ms: row.retry_after_ms === null ? null : Number(row.retry_after_ms),
    delay_ms: Number(row.delay_ms),
  };
}
