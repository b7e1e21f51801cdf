import { cronItems } from "../../src/worker/schedule.ts";
import type { TestDatabase } from "../harness/index.ts";

/**
 * Workers queue nothing by the clock for an hour. Else a full minute that falls into a test has
 * jobs run that the test did not ask for.
 */
export async function holdClock({ sql }: TestDatabase): Promise<void> {
  await sql`
    insert into graphile_worker._private_known_crontabs (identifier, known_since, last_execution)
    select identifier, now(), now() + interval '1 hour'
    from unnest(${cronItems().map(({ identifier }) => identifier)}::text[]) as identifier
    on conflict (identifier) do update set last_execution = excluded.last_execution
  `;
}
