import { AsyncLocalStorage } from "node:async_hooks";
import type pg from "pg";
import {
  makePgService,
  makeWithPgClientViaPgClientAlreadyInTransaction,
} from "postgraphile/adaptors/pg";
import { ApiError } from "../api-error.ts";

type WithPgClient = ReturnType<typeof makeWithPgClientViaPgClientAlreadyInTransaction>;
type Settings = Readonly<Record<string, string>>;

/** The transaction of the request that the running code serves, where it has one of its own. */
const transactions = new AsyncLocalStorage<WithPgClient>();

export interface RequestTransaction {
  readonly client: pg.PoolClient;
  /** Runs what asks for connections of its own in this transaction. */
  run<T>(work: () => T): T;
  /** Does what is put off until all changes are made. */
  complete(): Promise<unknown>;
  /** Becomes the login again, for what a visitor may not do. */
  becomeLogin(): Promise<unknown>;
}

/**
 * Commits where the work says so; rolls back where it does not, or fails. All of it takes no longer
 * than one statement may (statement_timeout): others wait for what it has locked.
 */
export async function inOneTransaction<T>(
  pool: pg.Pool,
  settings: Settings,
  work: (transaction: RequestTransaction) => Promise<{ result: T; commit: boolean }>,
  now: () => number = () => performance.now(),
): Promise<T> {
  const client = await pool.connect();
  let isUnusable = false;
  try {
    await client.query("begin");
    // What locks layer 1 comes last: other tenants must not wait for the changes in between.
    await client.query("set constraints all deferred");
    await setAll(client, settings);
    const withPgClient = endingAt(
      now() + Number(settings.statement_timeout),
      now,
      makeWithPgClientViaPgClientAlreadyInTransaction(client, true),
    );
    const { result, commit } = await work({
      client,
      run: (inner) => transactions.run(withPgClient, inner),
      complete: () => client.query("set constraints all immediate"),
      becomeLogin: () => client.query("set local role none"),
    });
    await client.query(commit ? "commit" : "rollback");
    return result;
  } catch (error) {
    await client.query("rollback").catch(() => {
      isUnusable = true;
    });
    throw error;
  } finally {
    client.release(isUnusable);
  }
}

/** Gives each statement what is left of the time, and none where nothing is left. */
function endingAt(end: number, now: () => number, withPgClient: WithPgClient): WithPgClient {
  const limited: WithPgClient = (settings, callback) =>
    withPgClient(settings, async (client) => {
      const left = Math.ceil(end - now());
      if (left <= 0) throw new ApiError("QS503", "query took too long", "Ask for less at once.");
      const text = "select set_config('statement_timeout', $1, true)";
      await client.query({ text, values: [String(left)] });
      return callback(client);
    });
  return Object.assign(limited, { release: withPgClient.release });
}

/** All but the role: what comes first is done as the login. */
async function setAll(client: pg.ClientBase, { role: _role, ...settings }: Settings) {
  await client.query(
    "select set_config(s ->> 0, s ->> 1, true) from json_array_elements($1::json) as s",
    [JSON.stringify(Object.entries(settings))],
  );
}

type PgService = ReturnType<typeof makePgService>;

/** A service of the pool's connections, but for requests that have a transaction of their own. */
export function transactionalService(options: Parameters<typeof makePgService>[0]): PgService {
  const service = makePgService(options);
  const { adaptor } = service;
  return {
    ...service,
    adaptor: {
      ...adaptor,
      async createWithPgClient(...given) {
        const usual = await adaptor.createWithPgClient(...given);
        const chosen: typeof usual = (settings, callback) =>
          (transactions.getStore() ?? usual)(settings, callback);
        return Object.assign(chosen, { release: usual.release });
      },
    },
  };
}
