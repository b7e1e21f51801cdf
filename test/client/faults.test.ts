import { setTimeout as sleep } from "node:timers/promises";
import { test } from "vitest";
import { createLimiter, type Limiter } from "../../src/client/index.ts";
import { createDatabase } from "../harness/index.ts";
import { untilOver } from "../harness/until-over.ts";
import { type BreakableLink, breakableLink } from "./breakable-link.ts";
import { silent } from "./silent.ts";
import { addQuota, charged, makeWorld } from "./world.ts";

const database = await createDatabase();

/** Numbers from 0 to 1 that a seed decides. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Kills, stalls or refuses the connections of a link, then leaves it whole for a while. */
async function breakOnce(link: BreakableLink, random: () => number): Promise<void> {
  const [breaks = link.cut] = [link.cut, link.swallow, link.forget].slice(random() * 3);
  breaks();
  await sleep(random() * 150);
  link.mend();
  await sleep(500 + random() * 500);
}

interface Worker {
  readonly limiter: Limiter;
  admitted: number;
}

/** Asks for more than there is until told to stop; all of it counts on the same quota. */
async function work(worker: Worker, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const decision = await worker.limiter.checkAsync("head");
    if (decision.allowed) worker.admitted += 1;
    else await sleep(Math.min(decision.retryAfterMs ?? 20, 20));
  }
}

async function openLeases(appId: string): Promise<number> {
  const rows = await database.sql`
    select from rate_limiter.token_leases where app_id = ${appId} and settled_at is null
  `;
  return rows.count;
}

const faults = 6;

test.concurrent.for([
  [1, 11],
  [2, 22],
  [3, 33],
  [4, 44],
] as const)(
  "%d processes whose connections break at random admit what was charged, and lose nothing",
  async ([processes, seed], { expect, onTestFinished }) => {
    const random = randomOf(seed);
    const world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 400, burst: 400 } });
    const workers: Worker[] = [];
    const links: BreakableLink[] = [];
    for (let i = 0; i < processes; i += 1) {
      const link = await breakableLink(database.urlAs("rate_limiter_app"));
      const limiter = createLimiter({
        connection: link.url,
        application: world.appId,
        outage: { policy: "closed" },
        timeoutMs: 1_000,
        // None ends and is settled as spent meanwhile.
        leaseMs: 3_600_000,
        logger: silent,
      });
      onTestFinished(() => limiter.close().then(() => link.close()));
      links.push(link);
      workers.push({ limiter, admitted: 0 });
    }
    const working = untilOver(onTestFinished);
    const done = workers.map((worker) => work(worker, () => working.isOver));
    for (let fault = 0; fault < faults; fault += 1) {
      await breakOnce(links[fault % processes] as BreakableLink, random);
    }
    working.end();
    await Promise.all(done);
    await Promise.all(workers.map(({ limiter }) => limiter.close()));
    const admitted = workers.reduce((sum, worker) => sum + worker.admitted, 0);
    const tokens = Number((await charged(database, world)).tokens);
    expect(admitted).toBeLessThanOrEqual(tokens);
    // A grant whose answer was lost is asked for again, or settled as unspent.
    expect(await openLeases(world.appId)).toBe(0);
    expect(admitted).toBeGreaterThanOrEqual(0.95 * tokens);
  },
);
