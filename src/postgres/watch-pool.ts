import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { Logger } from "../log.ts";

const roundMs = 2_000;
const timeoutMs = 2_000;

export interface PoolWatch {
  /** Resolves once the first round is over. */
  readonly first: Promise<void>;
  /** Whether a connection could write within the last rounds. */
  isWritable(): boolean;
  /** Closes all sockets: whatever waits for an answer fails, and is done on new connections. */
  reset(): void;
  stop(): void;
}

type Connection = pg.Client & { readyForQuery?: boolean; connection?: { stream?: Destroyable } };
interface Destroyable {
  destroy(): void;
}
interface PoolState {
  readonly _clients: readonly Connection[];
  readonly _idle: readonly { readonly client: Connection }[];
}

/**
 * Asks the idle connections of a pool every two seconds whether they can write. Those that do not
 * answer, and those that lead to a standby or to a read-only session, are closed: the next ones may
 * lead to the new primary.
 */
export function watchPool(pool: pg.Pool, log: Logger): PoolWatch {
  // As they are: connections of before this call count as well.
  const state = pool as unknown as PoolState;
  const stopping = new AbortController();
  let writableAt = Number.NEGATIVE_INFINITY;

  async function look(): Promise<void> {
    // Those that are held and wait, such as one that listens, may be dead as well.
    const idle = new Set(state._idle.map(({ client }) => client));
    const waiting = state._clients.filter((client) => client.readyForQuery && !idle.has(client));
    const borrowed = Array.from({ length: Math.max(pool.idleCount, 1) }, borrow);
    const answers = await Promise.all([...waiting.map(examine), ...borrowed]);
    if (answers.includes("good")) writableAt = performance.now();
    else log.warn("no connection to the database can write");
  }

  async function borrow(): Promise<State> {
    const connecting = pool.connect();
    const client = await inTime(connecting.catch(() => undefined));
    if (client === undefined) {
      connecting.then((late) => late.release()).catch(() => {});
      return "bad";
    }
    const state = await examine(client as unknown as Connection);
    client.release(state !== "good");
    return state;
  }

  async function examine(client: Connection): Promise<State> {
    const state = await inTime(client.query(canWrite).then(stateOf, stateAfter));
    if (state === undefined || state === "bad") destroy(client);
    return state ?? "bad";
  }

  async function watch(): Promise<void> {
    while (!stopping.signal.aborted) {
      await sleep(roundMs, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
      if (!stopping.signal.aborted) await tryToLook();
    }
  }

  const tryToLook = () =>
    look().catch((err: unknown) => log.warn({ err }, "connections cannot be examined"));
  const first = tryToLook();
  void first.then(watch);
  return {
    first,
    isWritable: () => performance.now() - writableAt < 2 * (roundMs + timeoutMs),
    reset() {
      for (const client of state._clients) destroy(client);
    },
    stop: () => stopping.abort(),
  };
}

function destroy(client: Connection): void {
  client.connection?.stream?.destroy();
}

/** `odd`: it answers with an error, such as that of a transaction that has failed. */
type State = "good" | "bad" | "odd";

const canWrite = `
  select
    not pg_catalog.pg_is_in_recovery()
    and pg_catalog.current_setting('default_transaction_read_only') = 'off' as can_write
`;

function stateOf({ rows }: pg.QueryResult<{ can_write: boolean }>): State {
  return rows[0]?.can_write === true ? "good" : "bad";
}

function stateAfter(error: { code?: string }): State {
  return /^25P0[12]$/.test(error.code ?? "") ? "odd" : "bad";
}

/** Undefined where it takes too long. */
function inTime<T>(work: Promise<T>): Promise<T | undefined> {
  return Promise.race([work, sleep(timeoutMs, undefined, { ref: false })]);
}
