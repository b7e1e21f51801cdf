import { describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { cancel, makeApplication, publish, timeline, year } from "../control-plane.ts";

const database = await createDatabase();
const { sql } = database;

describe("publishing one half of a quota", () => {
  test("keeps the other half in force", async () => {
    const appId = await makeApplication(sql);
    await publish(sql, { appId, iops: 10, bandwidth: 1000 });
    await publish(sql, { appId, iops: 20 });
    expect(await timeline(sql, appId)).toEqual(["now-ever: 20 1000"]);
    await publish(sql, { appId, bandwidth: 2000 });
    expect(await timeline(sql, appId)).toEqual(["now-ever: 20 2000"]);
  });

  test("removes the other half where that is said", async () => {
    const appId = await makeApplication(sql);
    await publish(sql, { appId, iops: 10, bandwidth: 1000 });
    await publish(sql, { appId, iops: 20, removeBandwidth: true });
    expect(await timeline(sql, appId)).toEqual(["now-ever: 20 none"]);
  });

  test("is not needed to remove the other one", async () => {
    const appId = await makeApplication(sql);
    await publish(sql, { appId, iops: 10, bandwidth: 1000 });
    await publish(sql, { appId, removeIops: true });
    expect(await timeline(sql, appId)).toEqual(["now-ever: none 1000"]);
  });

  test("keeps the other half for as long as it was to last, and no longer", async () => {
    const appId = await makeApplication(sql);
    await publish(sql, { appId, iops: 10, bandwidth: 1000, to: year(2101) });
    await publish(sql, { appId, iops: 20 });
    expect(await timeline(sql, appId)).toEqual(["now-2101: 20 1000", "2101-ever: 20 none"]);
  });

  test("keeps what is in force when it starts, not what is in force today", async () => {
    const appId = await makeApplication(sql);
    await publish(sql, { appId, iops: 10, bandwidth: 1000 });
    await publish(sql, { appId, iops: 10, bandwidth: 5000, from: year(2101) });
    await publish(sql, { appId, iops: 30, from: year(2102) });
    expect(await timeline(sql, appId)).toEqual([
      "now-2101: 10 1000",
      "2101-2102: 10 5000",
      "2102-ever: 30 5000",
    ]);
  });

  test("for a time gives way to its predecessor, both halves of it", async () => {
    const appId = await makeApplication(sql);
    await publish(sql, { appId, iops: 10, bandwidth: 1000 });
    await publish(sql, { appId, iops: 90, to: year(2101) });
    expect(await timeline(sql, appId)).toEqual(["now-2101: 90 1000", "2101-ever: 10 1000"]);
  });

  test("that leaves nothing limited is refused", async () => {
    const appId = await makeApplication(sql);
    await publish(sql, { appId, iops: 10 });
    await expectSqlState(
      publish(sql, { appId, removeIops: true }),
      "QS422",
      "quota limits nothing",
    );
    expect(await timeline(sql, appId)).toEqual(["now-ever: 10 none"]);
  });
});

test("a temporary quota that is cancelled gives way at once", async () => {
  const appId = await makeApplication(sql);
  await publish(sql, { appId, iops: 10 });
  const boost = await publish(sql, { appId, iops: 90, to: year(2101) });
  await cancel(sql, boost);
  expect(await timeline(sql, appId)).toEqual(["now-ever: 10 none"]);
});

describe("a refill rate", () => {
  test.each([0, 11])("of %i for a limit of 10 is refused by the tables", async (refill) => {
    const appId = await makeApplication(sql);
    await expectSqlState(publish(sql, { appId, iops: { limit: 10, refill } }), "23514");
    await expectSqlState(publish(sql, { appId, bandwidth: { limit: 10, refill } }), "23514");
  });

  test.each([1, 10])("of %i for a limit of 10 is accepted", async (refill) => {
    const appId = await makeApplication(sql);
    await publish(sql, { appId, iops: { limit: 10, refill }, bandwidth: { limit: 10, refill } });
  });
});

test("a quota that is cancelled and published again finds the bucket as it was", async () => {
  const appId = await makeApplication(sql);
  // Slow: what flows in while the test runs is next to nothing.
  const limits = { appId, iops: { limit: 1, burst: 10 } };
  const first = await publish(sql, limits);
  const consume = async () => {
    const [decision] = await database.as("rate_limiter_app")`
      select allowed from rate_limiter.consume(${appId}, 'list', 0)
    `;
    return decision?.allowed;
  };
  for (let call = 0; call < 3; call++) expect(await consume()).toBe(true);
  await cancel(sql, first);
  await publish(sql, limits);
  expect(await consume()).toBe(false);
});
