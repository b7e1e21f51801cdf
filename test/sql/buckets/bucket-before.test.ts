import { describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { limitedApplication, makeApplication, moment, publish, type Quota } from "../world.ts";

const database = await createDatabase();
const { sql } = database;

interface Held {
  readonly bucket: string;
  readonly tokens: string;
  readonly capacity: string | null;
}

/** What an application's buckets hold at a moment, as a decision would find them. */
async function heldNow(appId: string, at: string): Promise<Held[]> {
  return [
    ...(await sql<Held[]>`
      select b.bucket_type::text || ' ' || b.mode as bucket, (s.bucket).current_tokens::text as tokens,
        (s.bucket).capacity::text as capacity
      from rate_limiter.token_buckets as b
      cross join lateral rate_limiter_internal.bucket_at(${at}, b) as s
      where b.owner_id = ${appId} order by b.bucket_type, b.mode
    `),
  ];
}

/** The same, asked for afterwards. */
async function heldBefore(appId: string, at: string): Promise<Held[]> {
  return [
    ...(await sql<Held[]>`
      select b.bucket_type::text || ' ' || b.mode as bucket, s.current_tokens::text as tokens,
        s.capacity::text as capacity
      from rate_limiter.token_buckets as b
      cross join lateral rate_limiter_internal.bucket_before(${at}, b) as s
      where b.owner_id = ${appId} order by b.bucket_type, b.mode
    `),
  ];
}

/** Random, and the same in every run. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

const consume = (appId: string, at: string, operation: string, size: number) => sql`
  select rate_limiter_internal.consume_at(
    rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${operation}, ${size}
  )
`;

/** A decision, a new quota, or none for two seconds. Answers how many seconds that took. */
async function doSomething(
  appId: string,
  quota: Quota,
  seconds: number,
  random: () => number,
): Promise<number> {
  const at = moment(seconds);
  const kind = random();
  if (kind < 0.1) {
    await publish(sql, { appId }, { ...quota, iops: 2 + Math.floor(random() * 9) }, at);
    return 0;
  }
  if (kind < 0.15) {
    await sql`
      update rate_limiter.quota_configs set valid_to = ${moment(seconds + 1)}
      where app_id = ${appId} and valid_to is null
    `;
    await publish(sql, { appId }, quota, moment(seconds + 2));
    return 2;
  }
  const size = random() < 0.2 ? 400_000 : Math.floor(random() * 9000);
  await consume(appId, at, random() < 0.5 ? "read_small" : "write_large", size);
  return 0;
}

describe("a bucket just before a moment of the past is what decisions then found:", () => {
  test.each([
    ["a token bucket", { iops: 5, burst: 20, bytes: 100_000, oversize: true }],
    ["a leaky bucket", { iops: 5, burst: 20, method: "leaky_bucket", bytes: 5000 }],
    ["a fixed window", { iops: 3, burst: 20, method: "fixed_window" }],
  ] as const)("%s, through debt, changes of quota and gaps", async (_, quota) => {
    const random = randomFrom(quota.iops * 7 + 1);
    const appId = await limitedApplication(sql, quota);
    const seen: [string, Held[]][] = [];
    let seconds = 100;
    for (let step = 0; step < 60; step++) {
      seconds += Math.round(random() * 3_000_000) / 1_000_000;
      const at = moment(seconds);
      seen.push([at, await heldNow(appId, at)]);
      seconds += await doSomething(appId, quota, seconds, random);
    }
    for (const [at, held] of seen) expect(await heldBefore(appId, at), at).toEqual(held);
  });

  test("a window that a change of quota cut short gives what flowed in since the change", async () => {
    const windows = (limit: number, at: string) => sql`
      select rate_limiter_internal.publish_quota_at(
        ${at}, ${appId}, null, 'enforce', null, null,
        ${sql.json({
          ...{ iops_limit: limit, iops_burst: limit, refill_rate: limit },
          ...{ burst_duration_seconds: 10, calculation_method: "fixed_window" },
        })},
        null, 'test'
      )
    `;
    const appId = await makeApplication(sql);
    await windows(2, moment(0));
    for (const seconds of [101, 101.5, 102]) await consume(appId, moment(seconds), "delete", 0);
    await windows(4, moment(103));
    await consume(appId, moment(104), "delete", 0);
    const found = await heldNow(appId, moment(111));
    // Of 40 in a window, seven seconds at 4 a second.
    expect(found).toMatchObject([{ tokens: "28.000000", capacity: "40.000000" }]);
    await consume(appId, moment(111), "delete", 0);
    expect(await heldBefore(appId, moment(111))).toEqual(found);
    expect(await heldBefore(appId, moment(102.5))).toMatchObject([{ tokens: "5.000000" }]);
  });

  test("debt that a denial met is there", async () => {
    const appId = await limitedApplication(sql, { bytes: 1000, oversize: true });
    await consume(appId, moment(10), "read_small", 5000);
    await consume(appId, moment(60), "read_small", 1000);
    expect(await heldBefore(appId, moment(11))).toMatchObject([
      { bucket: "bandwidth_l2 enforce", tokens: "-3000.000000" },
    ]);
  });

  test("before the first decision it is full from the first quota on", async () => {
    const appId = await limitedApplication(sql, { iops: 10 });
    await consume(appId, moment(100), "read_small", 0);
    expect(await heldBefore(appId, moment(50))).toMatchObject([{ tokens: "10.000000" }]);
    expect(await heldBefore(appId, "2019-01-01T00:00:00Z")).toMatchObject([{ capacity: null }]);
  });

  test("clocks that differ by less than a second do not mislead it", async () => {
    const appId = await limitedApplication(sql, { iops: 10 });
    await consume(appId, moment(100), "write_small", 0);
    await consume(appId, moment(99.5), "write_medium", 0);
    await consume(appId, moment(200), "write_small", 0);
    expect(await heldBefore(appId, moment(100.001))).toMatchObject([{ tokens: "4.010000" }]);
  });

  test("a clock that was set back goes on from there", async () => {
    const appId = await limitedApplication(sql, { iops: 10 });
    await consume(appId, moment(7200), "delete", 0);
    await consume(appId, moment(100), "write_small", 0);
    expect(await heldBefore(appId, moment(100.1))).toMatchObject([{ tokens: "4.000000" }]);
  });
});
