import { setTimeout as sleep } from "node:timers/promises";
import { connect, type Sql } from "../../src/postgres/connect.ts";

const timeoutMs = 5_000;

/**
 * One connection, so that a spec can say who does what and when:
 *
 *   await a.sql`begin`;
 *   await a.sql`select …`;                       // a holds a lock
 *   const pending = b.start(sql => sql`select …`);
 *   await b.waitsOnLock();                       // and b waits for it
 *   await a.sql`commit`;
 *   await pending;
 */
export interface Session {
  readonly name: string;
  readonly sql: Sql;
  /** Begins work without waiting for its end. */
  start<T>(work: (sql: Sql) => PromiseLike<T>): Promise<T>;
  /** Resolves once the work that was started waits on another session's lock. */
  waitsOnLock(): Promise<void>;
  close(): Promise<void>;
}

export async function openSession(name: string, url: string, observer: Sql): Promise<Session> {
  const sql = connect(url, { max: 1, connection: { application_name: name } });
  const [backend] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  const pid = backend?.pid ?? 0;
  let settled = true;

  return {
    name,
    sql,
    start(work) {
      settled = false;
      const running = Promise.resolve(work(sql)).finally(() => {
        settled = true;
      });
      // The spec awaits it later; until then a failure must not be an unhandled rejection.
      running.catch(() => {});
      return running;
    },
    async waitsOnLock() {
      const deadline = Date.now() + timeoutMs;
      while (!(await isBlocked(observer, pid))) {
        if (settled) throw new Error(`session ${name} finished: it waits on no lock`);
        if (Date.now() > deadline) throw new Error(`session ${name} runs but waits on no lock`);
        await sleep(5);
      }
    },
    close: () => sql.end({ timeout: 1 }),
  };
}

async function isBlocked(observer: Sql, pid: number): Promise<boolean> {
  const [row] = await observer<{ blocked: boolean }[]>`
    select cardinality(pg_blocking_pids(${pid})) > 0 as blocked
  `;
  return row?.blocked ?? false;
}
