import type { NameRegistry } from "../../worlds/name-registry.ts";
import { sixDigits } from "../amount.ts";
import type { Answer, Step } from "../format.ts";

export interface LeaseStep extends Step {
  readonly app: string;
  readonly id: string;
  readonly tokens?: string | number;
  readonly bytes?: string | number;
  readonly duration_seconds?: number;
}

export async function lease(names: NameRegistry, step: LeaseStep): Promise<Answer> {
  const { sql, epoch } = names;
  const application = names.application(step.app);
  const [row] = await sql<[{ lease_id: string; tokens: string; bytes: string }]>`
    select l.lease_id, l.tokens, l.bytes
    from rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${application}),
      rate_limiter_internal.moment_after(${epoch}, ${step.at_us}),
      ${application}, ${step.tokens ?? 0}, ${step.bytes ?? 0}
    ) as l
  `;
  names.rememberLease(step.id, application, row.lease_id);
  return { tokens: sixDigits(row.tokens), bytes: sixDigits(row.bytes) };
}
