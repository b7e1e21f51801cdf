import { onTestFinished, vi } from "vitest";
import type { Sql } from "../../src/client/store/sql.ts";
import { connect } from "../../src/postgres/connect.ts";
import type { TestDatabase } from "../harness/index.ts";
import type { Role } from "../harness/roles.ts";

/** Where time begins. */
const epochMs = Date.parse("2020-01-01T00:00:00Z");

/** A clock that the test moves: that of this process, of its timers and of the database. */
export interface VirtualTime {
  /** Milliseconds since time began. */
  now(): number;
  /** Calls so far, by the name of the function. */
  readonly calls: ReadonlyMap<string, number>;
  /** A pool of the client's kind, without notifications, whose statements run at this time. */
  pool(role: Role): Sql;
  /** Time stands still until what is promised has come. */
  track<T>(promise: Promise<T>): Promise<T>;
  /** Calls it at each new moment. */
  onAdvance(work: () => void): void;
  /** Waits until nothing of what has begun is under way. */
  settle(): Promise<void>;
  /** Time passes, with all that is due meanwhile. */
  advance(ms: number): Promise<void>;
  /** Time passes while this process is stopped: its timers are late. */
  jump(ms: number): void;
}

/** For this test alone; the clock of its database stays a virtual one. */
export async function startVirtualTime(database: TestDatabase): Promise<VirtualTime> {
  await replaceClock(database);
  const clock = connect(database.url, { max: 1 });
  const pools: ReturnType<typeof connect>[] = [];
  const listeners: (() => void)[] = [];
  const calls = new Map<string, number>();
  let [now, told, underWay] = [0, -1, 0];
  vi.useFakeTimers({
    now: epochMs,
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance", "Date"],
  });
  onTestFinished(async () => {
    vi.useRealTimers();
    await Promise.all([...pools, clock].map((sql) => sql.end()));
  });

  async function tellDatabase(): Promise<void> {
    if (told === now) return;
    told = now;
    await clock`select setval('public.virtual_us', ${String((epochMs + now) * 1_000)})`;
  }

  const time: VirtualTime = {
    now: () => now,
    calls,
    pool(role) {
      const sql = connect(database.urlAs(role), { max: 4 });
      pools.push(sql);
      const call = (strings: TemplateStringsArray, ...values: unknown[]) => {
        const name = /from rate_limiter\.(\w+)/.exec(strings.join(""))?.[1] ?? "other";
        calls.set(name, (calls.get(name) ?? 0) + 1);
        return time.track(tellDatabase().then(() => sql(strings, ...(values as never[]))));
      };
      return Object.assign(call, {
        listen: async () => ({ unlisten: async () => {} }),
        notify: async () => {},
        end: async () => {},
      }) as unknown as Sql;
    },
    async track(promise) {
      underWay += 1;
      try {
        return await promise;
      } finally {
        underWay -= 1;
      }
    },
    onAdvance: (work) => void listeners.push(work),
    async settle() {
      // An answered caller may ask again: wait for two quiet rounds.
      for (let quiet = 0; quiet < 2; quiet = underWay === 0 ? quiet + 1 : 0) {
        await new Promise((resolve) => setImmediate(resolve));
        // What a driver puts off, though not for long.
        vi.advanceTimersByTime(0);
      }
    },
    jump(ms) {
      now += ms;
      vi.setSystemTime(epochMs + now);
      const late = performance.now() + ms;
      vi.spyOn(performance, "now").mockReturnValue(late);
    },
    async advance(ms) {
      now += ms;
      vi.advanceTimersByTime(ms);
      for (const listener of listeners) listener();
      await time.settle();
    },
  };
  return time;
}

/** Every function of the database, and every default, reads it from now on. */
async function replaceClock({ sql }: TestDatabase): Promise<void> {
  await sql`create sequence public.virtual_us as bigint start ${sql.unsafe(`${epochMs}000`)}`;
  await sql`grant select on public.virtual_us to public`;
  await sql`alter function pg_catalog.clock_timestamp() rename to real_clock_timestamp`;
  await sql`
    create function pg_catalog.clock_timestamp()
    returns timestamptz
    language plpgsql
    volatile
    parallel safe
    as $$
    begin
      return timestamptz 'epoch' + (
        select s.last_value from public.virtual_us as s
      ) * interval '1 microsecond';
    end;
    $$
  `;
}
