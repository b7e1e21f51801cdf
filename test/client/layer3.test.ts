import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { ApplicationLimiter } from "../../src/client/application-limiter.ts";
import type { SharedParts } from "../../src/client/application-parts.ts";
import { OperationCost } from "../../src/client/costs/operation-cost.ts";
import { UnavailableError } from "../../src/client/errors.ts";
import { arrows, Layer3, type Layer3State } from "../../src/client/leases/layer3.ts";
import { Lease, type LeaseGrant } from "../../src/client/leases/lease.ts";
import { projectPath } from "../../src/paths.ts";

const page = readFileSync(projectPath("docs/architecture.md"), "utf8");
const section = page.split("\n## Layer 3\n")[1]?.split("\n## ")[0] ?? "";

const nameOf = ([from, by, to]: readonly string[]) => `${from} -> ${to}: ${by}`;
const unique = (names: Iterable<string>) => [...new Set(names)].sort();

describe("the drawing in docs/architecture.md", () => {
  const lines = [...section.matchAll(/^ +(\w+) --> (\w+): (\w+)$/gm)];
  const drawn = lines.map(([, from = "", to = "", by = ""]) => [from, by, to]);
  const group = "answering";
  const inGroup = /as answering \{([^}]*)\}/.exec(section)?.[1] ?? "";
  const members = unique([...inGroup.matchAll(/(\w+) --> (\w+):/g)].flatMap(([, ...ends]) => ends));
  const each = (name: string) => (name === group ? members : [name]);

  test("has the arrows of the code, and no others", () => {
    const told = drawn.flatMap(([from = "", by = "", to = ""]) =>
      each(from).flatMap((one) => each(to).map((other) => nameOf([one, by, other]))),
    );
    expect(told.sort()).toEqual(arrows.map(nameOf).sort());
  });

  test("explains each state and each transition, and names files that exist", () => {
    const rows = [...section.matchAll(/^\| (.+) \|$/gm)].map(([, row = ""]) => row.split(" | "));
    const states = rows.filter((row) => row.length === 4).slice(1);
    const transitions = rows.filter((row) => row.length === 2).slice(1);
    expect(states.map(([state]) => state).sort()).toEqual(
      unique(arrows.flatMap(([from, , to]) => [from, to])),
    );
    expect(transitions.map(([by]) => by).sort()).toEqual(unique(arrows.map(([, by]) => by)));
    const filesOf = (column: number, folder: string) =>
      states.flatMap((row) =>
        [...(row[column] ?? "").matchAll(/`([^`]+)`/g)].map(([, file]) => `${folder}/${file}`),
      );
    const files = [...filesOf(2, "src/client"), ...filesOf(3, "src/gateway/lua/qos")];
    expect(files.length).toBeGreaterThanOrEqual(2 * states.length);
    expect(files.filter((file) => !existsSync(projectPath(file)))).toEqual([]);
  });
});

const lifetimeMs = 10_000;

const nothing: LeaseGrant = {
  lease_id: null,
  tokens: "0",
  bytes: "0",
  lifetime_ms: String(lifetimeMs),
  retry_after_ms: "60000",
  holders: 1,
  is_limited_tokens: true,
  is_limited_bytes: true,
};
const lease = (): LeaseGrant => ({
  ...nothing,
  lease_id: crypto.randomUUID(),
  tokens: "1000",
  bytes: "1000000",
  retry_after_ms: "0",
});
/** Without limits there is nothing to lease, and so nothing to settle. */
const unlimited: LeaseGrant = { ...nothing, is_limited_tokens: false, is_limited_bytes: false };

const limits = {
  clusterId: null,
  until: Number.POSITIVE_INFINITY,
  tokensPerSecond: 1_000,
  bytesPerSecond: 1_000_000,
  leasableTokens: 10_000,
  leasableBytes: 10_000_000,
  isDirect: false,
};
const costs = new Map([["read_small", new OperationCost("1", "0", "1")]]);

/** An application's limiter whose database answers when the test says so. */
function open() {
  const renewals: PromiseWithResolvers<LeaseGrant>[] = [];
  const settlements: PromiseWithResolvers<void>[] = [];
  const store = { isDown: false, isClosed: false, isPaused: () => store.isDown, status: {} };
  const ask = <Answer>(calls: PromiseWithResolvers<Answer>[]) => {
    const call = Promise.withResolvers<Answer>();
    calls.push(call);
    return call.promise;
  };
  const exchange = { renew: () => ask(renewals), settle: () => ask(settlements) };
  const config = {
    application: "a",
    limits,
    keyValidUntil: Number.POSITIVE_INFINITY,
    costs: { hasOwnRules: false, at: () => costs },
  };
  const shared = { store, exchange, loader: { load: async () => config } };
  const limiter = new ApplicationLimiter(
    shared as unknown as SharedParts,
    { application: "a" },
    {
      idleMs: Number.POSITIVE_INFINITY,
      outage: { policy: "closed", maxMs: 0 },
      pollMs: () => Number.POSITIVE_INFINITY,
      onUse: () => {},
      onUncharged: () => {},
      onDecision: undefined,
    },
  );
  /** Until each answer that was given has been heard. */
  const heard = () => vi.advanceTimersByTimeAsync(0);
  /** More than any lease here holds. */
  const dear = 5_000_000;
  const world = {
    state: () => limiter.status().lease.state,
    async ask() {
      limiter.check("read_small", dear);
      await heard();
    },
    async grant(granted = lease()) {
      renewals.shift()?.resolve(granted);
      await heard();
    },
    async refuse() {
      renewals.shift()?.resolve(nothing);
      await heard();
    },
    async return() {
      void limiter.handBack();
      await heard();
    },
    async letGo() {
      void limiter.letGo();
      await heard();
    },
    async settle() {
      for (const call of settlements.splice(0)) call.resolve();
      await heard();
    },
    async settleInVain() {
      for (const call of settlements.splice(0)) call.reject(unanswered());
      await heard();
    },
    async end() {
      await vi.advanceTimersByTimeAsync(lifetimeMs);
      limiter.tick(performance.now());
      await heard();
    },
    async fail() {
      store.isDown = true;
    },
    async recover() {
      store.isDown = false;
    },
    async close() {
      void limiter.close();
    },
  };
  return world;
}

function unanswered() {
  return new UnavailableError("QS503", "no answer", {});
}

type World = ReturnType<typeof open>;
type Steps = (world: World) => Promise<void>;

const steps =
  (...names: Exclude<keyof World, "state">[]): Steps =>
  async (world) => {
    for (const name of names) await world[name]();
  };

/** How each state is reached. */
const ways: Record<Layer3State, Steps> = {
  empty: steps(),
  renewing: steps("ask"),
  active: steps("ask", "grant"),
  draining: steps("ask", "grant", "return"),
  outage: steps("fail"),
  closed: steps("close"),
};

/** Where the state and the transition alone do not say which arrow it is: the way to its begin. */
const longerWays: Record<string, Steps> = {
  // The current lease is too small for the operation that asks.
  "renewing -> active: refuse": steps("ask", "grant", "ask"),
  "renewing -> draining: refuse": steps("ask", "grant", "return", "ask"),
  "active -> draining: end": steps("ask", "grant", "return", "ask", "grant"),
  "draining -> empty: end": steps("ask", "grant", "return", "settleInVain"),
  "active -> empty: return": async (world) => {
    await world.ask();
    await world.grant(unlimited);
  },
};

function wayTo([from, by, to]: readonly [Layer3State, string, Layer3State]): Steps {
  const longer = longerWays[nameOf([from, by, to])];
  if (longer !== undefined) return longer;
  if (by !== "recover") return ways[from];
  return async (world) => {
    await ways[to](world);
    await world.fail();
  };
}

describe("an application's limiter", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
  });

  test.each(arrows.map((arrow) => ({ name: nameOf(arrow), arrow })))(
    "goes from $name",
    async ({ arrow }) => {
      const [from, by, to] = arrow;
      const world = open();
      await wayTo(arrow)(world);
      expect(world.state()).toBe(from);
      await world[by]();
      expect(world.state()).toBe(to);
    },
  );

  test("settles at once a lease that came after it was let go", async () => {
    const world = open();
    await steps("ask", "letGo")(world);
    expect(world.state()).toBe("renewing");
    await world.grant();
    expect(world.state()).toBe("draining");
    await world.settle();
    expect(world.state()).toBe("empty");
  });

  test("keeps a lease that came after it was let go and asked again", async () => {
    const world = open();
    await steps("ask", "letGo", "ask", "grant")(world);
    expect(world.state()).toBe("active");
  });
});

describe("in any order of calls", () => {
  const drawn = new Set(arrows.map(nameOf));

  /** The machine with its time, as calls without a database. */
  function machine() {
    let now = 0;
    let isDown = false;
    let settling = 0;
    const layer3 = new Layer3(() => isDown);
    const isAnswered = (work: () => void) => () => {
      if (!layer3.isRenewing) return;
      work();
      layer3.answer();
    };
    const settle = (leases: readonly unknown[]) => {
      for (const _ of leases) layer3.settle();
      settling += leases.length;
    };
    const calls = {
      ask: () => layer3.ask(),
      grant: isAnswered(() => {
        const granted = new Lease(crypto.randomUUID(), 10, 10, now + 100);
        if (!layer3.grant(granted, now)) settle([granted]);
      }),
      refuse: isAnswered(() => {}),
      return: () => settle(layer3.return()),
      end: () => {
        now += 60;
        layer3.end(now);
      },
      settle: () => {
        if (settling > 0) layer3.settled();
        settling = Math.max(settling - 1, 0);
      },
      fail: () => {
        isDown = true;
      },
      recover: () => {
        isDown = false;
      },
      close: () => layer3.close(),
    };
    return { layer3, calls };
  }

  const { calls: names } = machine();
  const call = fc.constantFrom(...(Object.keys(names) as (keyof typeof names)[]));

  test("no state changes by a way that is not drawn", () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(call, { maxLength: 40 }), (made) => {
        const { layer3, calls } = machine();
        for (const name of made) {
          const before = layer3.state;
          calls[name]();
          if (layer3.state === before) continue;
          const arrow = nameOf([before, name, layer3.state]);
          seen.add(arrow);
          expect(drawn).toContain(arrow);
        }
      }),
      { numRuns: 2_000, seed: 7 },
    );
    // What comes by itself shows that the calls reach far enough.
    expect(seen.size).toBeGreaterThan(arrows.length / 2);
  });
});
