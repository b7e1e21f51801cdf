import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { createLimiter } from "../../src/client/index.ts";
import { projectPath } from "../../src/paths.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { addQuota, makeWorld } from "./world.ts";

const database = await createDatabase();
const connection = database.urlAs("rate_limiter_app");

/** A process of its own that runs `code` with a limiter which has taken a lease. */
function run(code: string, appId: string, before = "") {
  const script = `
    import { createLimiter } from ${JSON.stringify(projectPath("src/client/index.ts"))};
    ${before}
    const limiter = createLimiter({
      connection: ${JSON.stringify(connection)},
      application: ${JSON.stringify(appId)},
      idleMs: 60_000,
      closeOnSigterm: true,
    });
    await limiter.checkAsync("head");
    ${code}
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

async function tokens(appId: string): Promise<number> {
  const [row] = await database.as("rate_limiter_app")`
    select remaining::float8 + cost::float8 as tokens
    from rate_limiter.check_limit(${appId}, 'head')
  `;
  return row?.tokens;
}

test("on SIGTERM what is held goes back, and the process ends of that signal", async () => {
  const { appId } = await makeWorld(database);
  await addQuota(database, { appId }, { iops: { limit: 1, burst: 1_000 } });
  const child = run(`console.log("ready"); setInterval(() => {}, 1_000);`, appId);
  await once(createInterface(child.stdout), "line");
  expect(await tokens(appId)).toBeLessThan(999);
  child.kill("SIGTERM");
  const [, signal] = await once(child, "exit");
  expect(signal).toBe("SIGTERM");
  expect(await tokens(appId)).toBeGreaterThanOrEqual(999);
});

test("on SIGTERM a process waits for all of its limiters", async () => {
  const { appId } = await makeWorld(database);
  await addQuota(database, { appId }, { iops: { limit: 1, burst: 1_000 } });
  const quick = `
    const quick = createLimiter({
      connection: ${JSON.stringify(connection)},
      closeOnSigterm: true,
    });
  `;
  const slow = `
    const close = limiter.close.bind(limiter);
    limiter.close = () => new Promise((resolve) => setTimeout(resolve, 500)).then(close);
    console.log("ready");
    setInterval(() => {}, 1_000);
  `;
  const child = run(slow, appId, quick);
  await once(createInterface(child.stdout), "line");
  expect(await tokens(appId)).toBeLessThan(999);
  child.kill("SIGTERM");
  const [, signal] = await once(child, "exit");
  expect(signal).toBe("SIGTERM");
  expect(await tokens(appId)).toBeGreaterThanOrEqual(999);
});

test("no timer of ours keeps a process alive", async () => {
  const { appId } = await makeWorld(database);
  await addQuota(database, { appId }, { iops: { limit: 1, burst: 1_000 } });
  const before = `
    const ours = [];
    for (const name of ["setTimeout", "setInterval"]) {
      const original = globalThis[name];
      globalThis[name] = Object.assign((...parameters) => {
        const timer = original(...parameters);
        const caller = new Error().stack.split("\\n")[2];
        if (caller.includes("/src/client/")) ours.push(timer);
        return timer;
      }, original);
    }
  `;
  const code = `
    const kept = ours.filter((timer) => timer.hasRef() && !timer._destroyed);
    console.log(ours.length > 0, kept.length);
    await limiter.close();
  `;
  const child = run(code, appId, before);
  const [line] = await once(createInterface(child.stdout), "line");
  expect(line).toBe("true 0");
  const [exitCode] = await once(child, "exit");
  expect(exitCode).toBe(0);
});

test("500 callers of one application cost a few database calls a second", async () => {
  const world = await makeWorld(database);
  await addQuota(database, world, {
    iops: { limit: 1_000_000, burst: 2_000_000 },
    bytesPerSecond: 2 ** 40,
  });
  const limiter = createLimiter({ connection, apiKey: world.apiKey });
  onTestFinished(() => limiter.close());
  await eventually(() => expect(limiter.status().changes).toBe("listening"));
  const until = performance.now() + 3_000;
  let allowed = 0;
  const caller = async () => {
    while (performance.now() < until) {
      const decision = await limiter.checkAsync("read_small", 4_096);
      if (decision.allowed) allowed += 1;
      await sleep(5);
    }
  };
  const calls = limiter.status().storeCalls;
  await Promise.all(Array.from({ length: 500 }, caller));
  expect(allowed).toBeGreaterThan(10_000);
  expect(limiter.status().storeCalls - calls).toBeLessThanOrEqual(3 * 50);
});

test("500 callers who want ten times their quota cost no more", async () => {
  const world = await makeWorld(database);
  await addQuota(database, world, { iops: { limit: 2_000 } });
  const limiter = createLimiter({ connection, apiKey: world.apiKey });
  onTestFinished(() => limiter.close());
  await eventually(() => expect(limiter.status().changes).toBe("listening"));
  const until = performance.now() + 3_000;
  let denied = 0;
  const caller = async () => {
    while (performance.now() < until) {
      if (!(await limiter.checkAsync("head")).allowed) denied += 1;
      await sleep(20);
    }
  };
  const calls = limiter.status().storeCalls;
  await Promise.all(Array.from({ length: 500 }, caller));
  expect(denied).toBeGreaterThan(100);
  expect(limiter.status().storeCalls - calls).toBeLessThanOrEqual(3 * 50);
});

test("a check inside a lease leaves nothing to collect", async () => {
  const { appId } = await makeWorld(database);
  await addQuota(database, { appId }, { iops: { limit: 1_000_000_000 } });
  const code = `
    const checks = 200_000;
    const perCheck = [];
    for (let round = 0; round < 40; round += 1) {
      const used = process.memoryUsage().heapUsed;
      let allowed = 0;
      while (allowed < checks && limiter.check("head").allowed) allowed += 1;
      // One in so many checks looks at the clock, with care. A round in which the garbage was collected, or the lease ran out, tells nothing.
      const grown = process.memoryUsage().heapUsed - used;
      if (allowed === checks && grown >= 0) perCheck.push(grown / checks);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    console.log(perCheck.length > 10, Math.min(...perCheck) < 6);
    await limiter.close();
  `;
  const child = run(code, appId);
  const [line] = await once(createInterface(child.stdout), "line");
  expect(line).toBe("true true");
  await once(child, "exit");
});
