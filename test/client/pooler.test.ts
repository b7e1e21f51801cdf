import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { createBatchingClient } from "../../src/client/index.ts";
import { createDatabase } from "../harness/index.ts";
import { silent } from "./silent.ts";
import { addQuota, makeWorld } from "./world.ts";

const database = await createDatabase();

/** Hands out process ids of its own, as poolers do, and notes names of prepared statements. */
async function poolerFor(url: string, shift: number) {
  const target = new URL(url);
  const { hostname, port } = target;
  const sockets = new Set<Socket>();
  let prepared = 0;
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
    }
    near.on("data", (data) => {
      if (/qos [0-9a-f]{32}/.test(data.toString("latin1"))) prepared += 1;
      far.write(data);
    });
    far.on("data", (data) => {
      // BackendKeyData: K, its length, the process id.
      const at = data.indexOf(Buffer.from([0x4b, 0, 0, 0, 12]));
      if (at >= 0) data.writeInt32BE(data.readInt32BE(at + 5) + shift, at + 5);
      near.write(data);
    });
    near.on("close", () => far.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  target.port = String((server.address() as AddressInfo).port);
  return { url: target.href, prepared: () => prepared };
}

test.each([
  ["statements are prepared without a pooler", 0, "", true],
  ["a pooler is detected, and nothing is prepared", 1, "", false],
  ["nothing is prepared with pgbouncer=true", 0, "?pgbouncer=true", false],
])("%s", async (_, shift, query, isPrepared) => {
  const { appId } = await makeWorld(database);
  await addQuota(database, { appId }, { iops: { limit: 1, burst: 1_000 } });
  const pooler = await poolerFor(database.urlAs("rate_limiter_app"), shift);
  const client = createBatchingClient({ connection: pooler.url + query, logger: silent });
  onTestFinished(() => client.close());
  for (let i = 0; i < 3; i += 1) expect((await client.decide(appId, "head")).allowed).toBe(true);
  expect(pooler.prepared() > 0).toBe(isPrepared);
});
