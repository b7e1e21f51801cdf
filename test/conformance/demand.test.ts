import { describe, expect, test } from "vitest";
import { addQuota, makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { drivers } from "./virtual-drivers.ts";
import { startVirtualTime } from "./virtual-time.ts";

describe.each(drivers)("$name", ({ open }) => {
  test("what was asked is what the record says, once its minute is over", async () => {
    const database = await createDatabase();
    const world = await makeWorld(database);
    const time = await startVirtualTime(database);
    await addQuota(database, world, { iops: { limit: 100 } });
    const caller = open(time, world);
    const answers = { admitted: 0, denied: 0 };
    for (let ms = 0; ms < 4_000; ms += 20) {
      for (let i = 0; i < 4; i += 1) {
        void caller.decide("head").then(({ allowed }) => {
          answers[allowed ? "admitted" : "denied"] += 1;
        });
      }
      await time.advance(20);
    }
    for (let seconds = 0; seconds < 85; seconds += 1) await time.advance(1_000);
    const rows = await database.sql<{ admitted: number; denied: number; leased: number }[]>`
      select
        coalesce(sum(d.operations) filter (where not d.is_denied), 0)::integer as admitted,
        coalesce(sum(d.operations) filter (where d.is_denied), 0)::integer as denied,
        coalesce(sum(d.operations) filter (where not d.is_denied and d.operation = 'head'), 0)
          ::integer as leased
      from rate_limiter_internal.demand_of(
        rate_limiter_internal.app_shard_key(${world.appId}), ${world.appId},
        '2019-12-31', '2020-01-02'
      ) as d
    `;
    const [record] = rows;
    expect(answers.admitted + answers.denied).toBe(800);
    expect(record?.admitted).toBe(answers.admitted);
    expect(record?.leased).toBeGreaterThan(0.5 * answers.admitted);
    // Sessions of the database keep some of their last denials to themselves.
    expect(record?.denied).toBeLessThanOrEqual(answers.denied);
    expect(record?.denied).toBeGreaterThan(0.5 * answers.denied);
  });
});
