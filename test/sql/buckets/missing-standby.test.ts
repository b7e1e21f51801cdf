import { afterAll, describe, expect, test } from "vitest";
import { imageDatabase, migratedImage } from "../../../src/migrations/migrated-image.ts";
import { connect, withConnection } from "../../../src/postgres/connect.ts";
import { startThrowawayServer } from "../../../src/postgres/throwaway-server.ts";
import { withDatabase, withRole } from "../../../src/postgres/url.ts";
import { limitedApplication, makeCluster, publish, setSetting } from "../world.ts";

const image = await migratedImage();
const server = await startThrowawayServer(image, { synchronous_commit: "on" });
const url = withDatabase(server.url, imageDatabase);
const owner = connect(url);
afterAll(async () => {
  await owner.end({ timeout: 0 });
  await server.stop();
});

const clusterId = await makeCluster(owner);
await publish(owner, { clusterId }, { iops: 1_000_000 });
const appId = await limitedApplication(owner, { iops: 1_000, burst: 1_000 }, { clusterId });
const app = connect(withRole(url, "rate_limiter_app"), { max: 2 });
afterAll(() => app.end({ timeout: 0 }));

await app`select rate_limiter.consume(${appId}, 'head', 0, 'settled')`;
await app`select rate_limiter.consume(${appId}, 'head', 0, 'refunded')`;
const [settledLease, renewedLease] = [await lease(), await lease()];

async function lease(): Promise<string> {
  const [row] = await app`select lease_id from rate_limiter.lease_tokens(${appId}, 10, 0)`;
  return row?.lease_id;
}

/** Every commit that waits for a standby waits for ever: no standby of that name comes. */
async function loseStandby(): Promise<void> {
  await owner`alter system set synchronous_standby_names = 'lost'`;
  await owner`select pg_reload_conf()`;
  await withConnection(url, async (sql) => {
    for (;;) {
      const [row] = await sql`show synchronous_standby_names`;
      if (row?.synchronous_standby_names === "lost") return;
    }
  });
}
await setSetting(owner, "decision_synchronous_commit", "false");
await loseStandby();

const charge = JSON.stringify([{ app_id: appId, tokens: "1", bytes: "0", key: "exchanged" }]);

// Each commits, or the test runs out of time.
describe("while a synchronous standby is missing", () => {
  test.each([
    ["a decision", () => app`select rate_limiter.consume(${appId}, 'head', 0)`],
    [
      "a settlement of a reference",
      () => app`select rate_limiter.settle(${appId}, 'settled', 100)`,
    ],
    ["a refund", () => app`select rate_limiter.refund(${appId}, 'refunded')`],
    ["a new lease", () => app`select rate_limiter.lease_tokens(${appId}, 10, 0)`],
    [
      "a renewal",
      () => app`select rate_limiter.renew_lease(${appId}, ${renewedLease}, 1, 0, 10, 0)`,
    ],
    [
      "the end of a lease",
      () => app`select rate_limiter.settle_lease(${appId}, ${settledLease}, 1, 0)`,
    ],
    ["a late charge", () => app`select rate_limiter.charge_owed(${appId}, 1, 0, 'owed')`],
    [
      "an exchange",
      () => app`select rate_limiter.exchange_leases('[]', '[]', ${charge}::text::jsonb)`,
    ],
    ["the expiry of leases", () => owner`select rate_limiter_private.expire_leases(now())`],
    ["the collection of loans", () => owner`select rate_limiter_private.collect_borrowings(null)`],
    ["a new quota", () => publish(owner, { appId }, { iops: 2_000 }, new Date().toISOString())],
  ])("%s does not wait for it", async (_, call) => {
    await call();
    // The buckets are free again.
    const [decision] = await app`select allowed from rate_limiter.consume(${appId}, 'head', 0)`;
    expect(decision?.allowed).toBe(true);
  });
});
