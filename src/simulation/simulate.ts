import { Random } from "../random.ts";
import { micro } from "./database/bucket.ts";
import { factorAt } from "./demand.ts";
import { type Findings, findingsOf, type Snapshot, snapshotOf } from "./findings.ts";
import { type SimulationOptions, warmUpSeconds } from "./options.ts";
import { VirtualTime } from "./virtual-time.ts";
import { makeWorld, type SimulatedWorld } from "./world.ts";

const stepMs = 5;
const tickMs = 100;
const ticksInTurn = tickMs / stepMs;
const stepsInSecond = 1_000 / stepMs;
const restartMs = 1_000;
/** The job expire_leases. */
const expireSeconds = 60;
/** Until the last lease has gone back, or is over. */
const quietSeconds = 12;

/** Runs the demand of so many seconds, and the rest until nothing is leased; virtual ones. */
export async function simulate(
  options: SimulationOptions,
  tell: (line: string) => void = () => {},
): Promise<Findings> {
  const time = new VirtualTime();
  const random = new Random(options.seed + 1);
  time.begin(() => random.next());
  try {
    const world = makeWorld(options, time);
    planFaults(options, world, time);
    return await run(options, world, time, tell);
  } finally {
    time.end();
  }
}

async function run(
  options: SimulationOptions,
  world: SimulatedWorld,
  time: VirtualTime,
  tell: (line: string) => void,
): Promise<Findings> {
  const end = warmUpSeconds + options.seconds;
  let overAdmitted = 0n;
  async function pass(from: number, to: number): Promise<Snapshot> {
    for (let second = from; second < to; second += 1) {
      await passSecond(world, time, () => second < end && ask(options, world, second));
      overAdmitted += overAdmission(world);
      if (second % expireSeconds === expireSeconds - 1) world.database.expireAll(time.now * 1_000);
      tell(`${second + 1} s`);
    }
    return snapshotOf(world);
  }
  const before = await pass(0, warmUpSeconds);
  const after = await pass(warmUpSeconds, end);
  const rest = await pass(end, end + quietSeconds);
  return findingsOf(options, world, { before, after, end: rest }, overAdmitted);
}

async function passSecond({ gateways }: SimulatedWorld, time: VirtualTime, ask: () => void) {
  for (let step = 0; step < stepsInSecond; step += 1) {
    ask();
    for (let place = step % ticksInTurn; place < gateways.length; place += ticksInTurn)
      gateways[place]?.tick();
    await time.advance(stepMs);
  }
}

function ask({ skew }: SimulationOptions, { demands, gateways }: SimulatedWorld, second: number) {
  for (const { application, rate, phase, outcome, callers } of demands) {
    const perStep = rate / callers.length / stepsInSecond;
    for (let place = 0; place < callers.length; place += 1) {
      const caller = callers[place] as (typeof callers)[number];
      caller.due += perStep * factorAt(skew, second, phase, place);
      for (; caller.due >= 1; caller.due -= 1)
        gateways[caller.gateway]?.ask(application.id, outcome);
    }
  }
}

/** Tokens that callers were let through with beyond what buckets gave, which never are below zero. */
function overAdmission({ demands, clusters }: SimulatedWorld): bigint {
  let over = 0n;
  for (const { application, outcome } of demands) {
    const beyond = BigInt(outcome.admitted) * micro - application.bucket.taken;
    if (beyond > 0n) over += beyond;
  }
  for (const { bucket } of [...clusters, ...demands.map(({ application }) => application)]) {
    const left = bucket.balance;
    if (left < 0n) over -= left;
  }
  return over;
}

/** Spread over the measured seconds. */
function planFaults(options: SimulationOptions, world: SimulatedWorld, time: VirtualTime): void {
  const random = new Random(options.seed + 2);
  const anyMoment = () => (warmUpSeconds + random.next() * options.seconds) * 1_000;
  const anyPlace = () => random.between(0, options.gateways - 1);
  for (let fault = 0; fault < options.crashes; fault += 1) {
    const place = anyPlace();
    time.after(anyMoment(), () => {
      // Its requests fail until it is there again.
      const dead = world.gateways[place];
      // For good: its own timers go on.
      dead?.network.cut();
      dead?.kill();
      time.after(restartMs, () => {
        world.gateways[place] = world.openGateway(place);
      });
    });
  }
  for (let fault = 0; fault < options.cuts; fault += 1) {
    const place = anyPlace();
    time.after(anyMoment(), () => {
      const network = world.gateways[place]?.network;
      network?.cut();
      time.after(options.cutSeconds * 1_000, () => network?.mend());
    });
  }
}
