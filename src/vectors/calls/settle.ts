import type { Answer, Step } from "../format.ts";
import type { Scene } from "../scene.ts";

export interface SettleStep extends Step {
  readonly reference_id: string;
  readonly actual_size: number | null;
  readonly app?: string;
}

export async function settle(scene: Scene, step: SettleStep): Promise<Answer> {
  const { sql, epoch } = scene;
  const reference = step.reference_id;
  const application =
    step.app === undefined ? scene.ownerOfReference(reference) : scene.application(step.app);
  const [row] = await sql<[{ settled: boolean }]>`
    select s.settled
    from rate_limiter_internal.settle_at(
      rate_limiter_internal.moment_after(${epoch}, ${step.at_us}),
      ${application}, ${reference}, ${step.actual_size}
    ) as s
  `;
  return { settled: row.settled };
}
