import { describe, expect, test } from "vitest";
import { createDatabase } from "../harness/index.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeCluster,
  moment,
  publish,
  setSetting,
  tokensAt,
} from "./world.ts";

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");
// An allotment may lapse at a step: less is admitted then, but how much less is not the point.
await setSetting(database.sql, "layer_1_allotment_ms", 0);
const hour = 3600;
/** Far from the quota's start, so that there is an hour to step back into. */
const noon = 12 * hour;

async function consume(appId: string, seconds: number, times = 1): Promise<boolean[]> {
  const answers = await owner`
    select (rate_limiter_internal.consume_at(${moment(seconds)}, ${appId}, 'head', 0)).allowed
    from generate_series(1, ${times})
  `;
  return answers.map(({ allowed }) => allowed);
}

async function inACluster(): Promise<string> {
  const clusterId = await makeCluster(database.sql);
  await publish(database.sql, { clusterId }, { iops: 10, burst: 10 });
  return limitedApplication(database.sql, { iops: 5, burst: 10 }, { clusterId });
}

describe("a clock that steps an hour", () => {
  test("back neither adds nor takes, and refills on when the time is there again", async () => {
    const appId = await inACluster();
    expect(await consume(appId, noon, 12)).toEqual([...Array(10).fill(true), false, false]);
    expect(await consume(appId, noon - hour, 3)).toEqual([false, false, false]);
    expect(await tokensAt(database.sql, moment(noon - hour), appId)).toBe("0.000000");
    expect(await consume(appId, noon + 1, 6)).toEqual([...Array(5).fill(true), false]);
  });

  test("back and forth again and again admits no more than the hours that passed", async () => {
    const appId = await inACluster();
    let admitted = 0;
    for (let turn = 0; turn < 20; turn++) {
      for (const seconds of [noon, noon - hour]) {
        admitted += (await consume(appId, seconds, 3)).filter(Boolean).length;
      }
    }
    expect(admitted).toBe(10);
  });

  test("ahead fills a bucket once, never above its capacity, and back gives no second", async () => {
    const appId = await inACluster();
    await consume(appId, noon, 10);
    expect(await consume(appId, noon + hour, 11)).toEqual([...Array(10).fill(true), false]);
    expect(await consume(appId, noon + 1, 3)).toEqual([false, false, false]);
    expect(await consume(appId, noon + hour + 1, 6)).toEqual([...Array(5).fill(true), false]);
  });

  test("gives a lease no second life, and takes none", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 100 });
    const [lease] = await owner`
      select lease_id
      from rate_limiter_internal.lease_tokens_at(${moment(noon)}, ${appId}, 40, 0, '10 s')
    `;
    await owner`
      select rate_limiter_internal.settle_lease_at(
        ${moment(noon - hour)}, ${appId}, ${lease?.lease_id}, 30, 0
      )
    `;
    expect(await tokensAt(database.sql, moment(noon), appId)).toBe("70.000000");
  });

  test("leaves a ledger that explains everything", async () => {
    expect(await ledgerGaps(database.sql)).toEqual([]);
  });
});
