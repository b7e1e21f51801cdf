import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { addQuota, charged, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("what comes to nothing", async () => {
  const database = await createDatabase();
  const { nginx, storage } =
    missing === undefined
      ? await startGateway(database, { QOS_DATABASE_TIMEOUT_MS: "20000" })
      : (undefined as never);
  let keys = 0;

  /** An application whose buckets do not refill while the test looks. */
  async function makeOwner() {
    const world = await makeWorld(database);
    await addQuota(database, world, {
      iops: { limit: 1, burst: 1_000 },
      bytesPerSecond: 50_000_000,
    });
    await database.sql`
      update rate_limiter.bandwidth_quotas set refill_rate_bps = 1, bandwidth_limit_bps = 1
      where config_id in (
        select config_id from rate_limiter.quota_configs where app_id = ${world.appId}
      )
    `;
    keys += 1;
    const id = `AKIAGIVEBACK${String(keys).padStart(8, "0")}`;
    await database.sql`select rate_limiter_private.register_access_key(${world.appId}, ${id})`;
    const signature =
      `Authorization: AWS4-HMAC-SHA256 Credential=${id}/20260101/r/s3/aws4_request, ` +
      "SignedHeaders=host, Signature=wrong";
    return { ...world, byKey: `X-API-Key: ${world.apiKey}`, bySignature: signature };
  }

  const begin = async (line: string, path: string) => {
    const socket = connect(nginx.port, "127.0.0.1");
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write(
      `PUT ${path} HTTP/1.1\r\nHost: h\r\n${line}\r\nContent-Length: 1000000\r\n\r\nabc`,
    );
    return socket;
  };

  /** Begins so many uploads, and waits until the leases that paid for them are over. */
  async function hold(
    owner: { readonly appId: string; readonly bySignature: string },
    line: string,
    path = "/b/o",
  ) {
    const before = storage.requests.length;
    const sockets = await Promise.all(Array.from({ length: 10 }, () => begin(line, path)));
    await eventually(() => expect(storage.requests.length).toBe(before + 10));
    await atRest(owner);
    // An unproven sender holds a part of each.
    const least = line === owner.bySignature ? 10 * 262_144 : 10_000_000;
    await eventually(async () =>
      expect(Number((await charged(database, owner)).bytes)).toBeGreaterThanOrEqual(least),
    );
    return sockets;
  }

  const atRest = ({ appId }: { readonly appId: string }) =>
    eventually(async () => {
      const [row] = await database.sql`
        select count(*)::int as all, count(*) filter (where settled_at is null)::int as open
        from rate_limiter.token_leases where app_id = ${appId}
      `;
      expect(row?.all).toBeGreaterThan(0);
      expect(row?.open).toBe(0);
    });

  /** What comes back finds buckets that have refilled by a few. */
  const isCharged = (owner: { readonly appId: string }, bytes: number, mostTokens: number) =>
    eventually(async () => {
      const spent = await charged(database, owner);
      expect(Number(spent.bytes)).toBeGreaterThanOrEqual(bytes);
      expect(Number(spent.bytes)).toBeLessThan(bytes + 1_000);
      expect(Number(spent.tokens)).toBeLessThan(mostTokens);
    });

  const giveUp = (sockets: readonly Socket[]) => {
    for (const socket of sockets) socket.destroy();
  };

  test("of uploads that are given up is charged what passed, however long they took", async () => {
    const owner = await makeOwner();
    giveUp(await hold(owner, owner.byKey));
    await isCharged(owner, 0, 80);
  });

  test("of uploads whose signature no storage accepted is charged to no one", async () => {
    const owner = await makeOwner();
    giveUp(await hold(owner, owner.bySignature));
    await isCharged(owner, 0, 60);
  });

  test("nor is what the storage refused in the end", async () => {
    const owner = await makeOwner();
    const sockets = await hold(owner, owner.bySignature, "/status/403");
    for (const socket of sockets) socket.write(Buffer.alloc(999_997));
    for (const socket of sockets) await once(socket, "data");
    giveUp(sockets);
    await isCharged(owner, 0, 60);
  });

  test("of a download that is given up is charged what the storage has sent", async () => {
    const owner = await makeWorld(database);
    await addQuota(database, owner, { bytesPerSecond: 10_000 });
    const byKey = `X-API-Key: ${owner.apiKey}`;
    const socket = connect(nginx.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(`GET /bytes/5000000 HTTP/1.1\r\nHost: h\r\n${byKey}\r\n\r\n`);
    let received = 0;
    for await (const data of socket) {
      received += data.length;
      if (received > 40_000) break;
    }
    socket.destroy();
    await eventually(async () => {
      const bytes = Number((await charged(database, owner)).bytes);
      // The buffers of a paced download are full by then.
      expect(bytes).toBeGreaterThanOrEqual(262_144);
      expect(bytes).toBeLessThan(5_000_000);
    });
  });
});
