import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { arrows, Layer3 } from "../../src/client/leases/layer3.ts";
import { Lease } from "../../src/client/leases/lease.ts";
import { projectPath } from "../../src/paths.ts";
import { nameOf } from "../conformance/layer3-ways.ts";
import { openClientLayer3 } from "./layer3-world.ts";

const page = readFileSync(projectPath("docs/architecture.md"), "utf8");
const section = page.split("\n## Layer 3\n")[1]?.split("\n## ")[0] ?? "";

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

const steps = async (
  world: ReturnType<typeof openClientLayer3>,
  ...names: ("ask" | "letGo" | "grant")[]
) => {
  for (const name of names) await world[name]();
};

describe("an application's limiter", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
  });

  test("settles at once a lease that came after it was let go", async () => {
    const world = openClientLayer3();
    await steps(world, "ask", "letGo");
    expect(world.state()).toBe("renewing");
    await world.grant();
    expect(world.state()).toBe("draining");
    await world.settle();
    expect(world.state()).toBe("empty");
  });

  test("keeps a lease that came after it was let go and asked again", async () => {
    const world = openClientLayer3();
    await steps(world, "ask", "letGo", "ask", "grant");
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
