import type { ServerResponse } from "node:http";
import type pg from "pg";
import { logFor } from "../../log.ts";
import type { Sql } from "../../postgres/connect.ts";
import { currentRequest } from "../current-request.ts";
import type { ApiRequest } from "../request.ts";

const log = logFor("api");

/** Statements of requests, so that they end when nothing waits for their answer any more. */
export interface RunningStatements {
  /** Cancels what the request runs when its client goes. */
  cancelWhenAbandoned(request: ApiRequest, response: ServerResponse): void;
}

interface Checkout {
  readonly pid: number;
  cancelling: Promise<unknown>;
}

type Client = pg.PoolClient & { readonly processID?: number | null };

/** Tracks which connection of the pool serves which request. */
export function runningStatements(pool: pg.Pool, sql: Sql): RunningStatements {
  const checkouts = new Map<ApiRequest, Set<Checkout>>();

  function track(request: ApiRequest, client: Client): void {
    const checkout: Checkout = { pid: client.processID ?? 0, cancelling: Promise.resolve() };
    const ofRequest = checkouts.get(request) ?? new Set();
    checkouts.set(request, ofRequest.add(checkout));
    const release = client.release.bind(client);
    client.release = (...reasons) => {
      client.release = release;
      ofRequest.delete(checkout);
      if (ofRequest.size === 0) checkouts.delete(request);
      // A cancellation under way must not hit what the connection is given next.
      void checkout.cancelling.finally(() => release(...reasons));
    };
  }

  const connect = pool.connect.bind(pool) as () => Promise<Client>;
  const tracked = async () => {
    const client = await connect();
    const request = currentRequest.getStore();
    if (request !== undefined) track(request, client);
    return client;
  };
  pool.connect = ((callback?: Parameters<pg.Pool["connect"]>[0]) =>
    callback === undefined
      ? tracked()
      : (connect as unknown as pg.Pool["connect"])(callback)) as pg.Pool["connect"];

  function cancel(checkout: Checkout): void {
    checkout.cancelling = sql`select pg_cancel_backend(${checkout.pid})`.catch((err: Error) =>
      log.debug({ err }, "statement not cancelled"),
    );
  }

  return {
    cancelWhenAbandoned(request, response) {
      response.once("close", () => {
        if (response.writableFinished) return;
        for (const checkout of checkouts.get(request) ?? []) cancel(checkout);
      });
    },
  };
}
