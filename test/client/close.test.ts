import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { type BreakableLink, breakableLink } from "./breakable-link.ts";
import { addQuota, makeWorld } from "./world.ts";

const database = await createDatabase();

interface Child {
  readonly lines: Interface;
  go(): void;
  /** Its exit code, once it has ended by itself: otherwise the test runs out of time. */
  ended(): Promise<number>;
}

/**
 * A process that runs `before`, prints "ready", waits for go(), closes and prints "closed". A call
 * without an answer would be given up after the test's own time alone.
 */
function spawnClient(url: string, appId: string, before: string): Child {
  const script = `
    import { createInterface } from "node:readline";
    import { createBatchingClient, createLimiter } from ${JSON.stringify(projectPath("src/client/index.ts"))};
    const connection = ${JSON.stringify(url)};
    const application = ${JSON.stringify(appId)};
    const timeoutMs = 600_000;
    ${before}
    console.log("ready");
    const input = createInterface(process.stdin);
    await new Promise((resolve) => input.once("line", resolve));
    input.close();
    process.stdin.unref();
    await client.close();
    console.log("closed");
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const exit = once(child, "exit");
  return {
    lines: createInterface(child.stdout),
    go: () => void child.stdin.write("go\n"),
    ended: async () => (await exit)[0],
  };
}

const limiter = "const client = createLimiter({ connection, application, timeoutMs });";
const batching = "const client = createBatchingClient({ connection, timeoutMs });";
const leasing = `
  const client = createLimiter({ connection, application });
  await client.checkAsync("head");
`;

async function brokenWorld() {
  const { appId } = await makeWorld(database);
  await addQuota(database, { appId }, { iops: { limit: 1, burst: 1_000 } });
  const link = await breakableLink(database.urlAs("rate_limiter_app"));
  onTestFinished(() => link.close());
  return { appId, link };
}

test.each<[string, (link: BreakableLink) => void]>([
  ["is cut", (link) => link.cut()],
  ["is cut for a moment", (link) => link.cut()],
  ["swallows everything", (link) => link.swallow()],
  ["was forgotten without a reset", (link) => link.forget()],
])("nothing keeps the process alive after close() while the path %s", async (kind, breaks) => {
  const { appId, link } = await brokenWorld();
  const child = spawnClient(link.url, appId, leasing);
  await once(child.lines, "line");
  breaks(link);
  child.go();
  if (kind === "is cut for a moment") {
    await once(child.lines, "line");
    link.mend();
  }
  expect(await child.ended()).toBe(0);
});

test.each([
  ["a limiter", `${limiter} void client.checkAsync("head").catch(() => {});`],
  ["a batching client", `${batching} void client.decide(application, "head").catch(() => {});`],
])(
  "nothing keeps the process alive after close() of %s that never had an answer",
  async (_, ask) => {
    const { appId, link } = await brokenWorld();
    link.swallow();
    const child = spawnClient(link.url, appId, ask);
    await once(child.lines, "line");
    child.go();
    expect(await child.ended()).toBe(0);
  },
);

test.each([
  ["a limiter", `${limiter} const asked = client.checkAsync("head", 0, { reference: "a" });`],
  ["a batching client", `${batching} const asked = client.decide(application, "head");`],
])(
  "nothing keeps the process alive after close() of %s whose call waits for a lock",
  async (_, ask) => {
    const { appId, link } = await brokenWorld();
    const lock = await database.sql.reserve();
    onTestFinished(async () => {
      await lock`rollback`;
      lock.release();
    });
    await lock`begin`;
    await lock`select from rate_limiter.token_buckets where owner_id = ${appId} for update`;
    const child = spawnClient(link.url, appId, `${ask} asked.catch(() => {});`);
    await once(child.lines, "line");
    await eventually(async () => {
      const [row] = await database.sql<[{ count: number }]>`
      select count(*)::int as count from pg_stat_activity
      where application_name = 'storage-qos client' and wait_event_type = 'Lock'
        and datname = ${database.name}
    `;
      expect(row.count).toBeGreaterThan(0);
    });
    child.go();
    expect(await child.ended()).toBe(0);
    await lock`rollback`;
    lock.release();
  },
);

test("a caller that waits in acquire() is told of close(), and keeps nothing alive", async () => {
  const { appId, link } = await brokenWorld();
  // In debt for a day.
  await database.as("rate_limiter_app")`
    select from rate_limiter.charge_owed(${appId}, 86400, 0, 'a')
  `;
  const before = `
    ${limiter}
    await client.checkAsync("head");
    client.acquire("head").catch(({ name }) => console.log(name));
  `;
  const child = spawnClient(link.url, appId, before);
  const lines: string[] = [];
  child.lines.on("line", (line) => lines.push(line));
  await eventually(() => expect(lines).toEqual(["ready"]));
  child.go();
  expect(await child.ended()).toBe(0);
  expect(lines).toEqual(["ready", "ClosedError", "closed"]);
});
