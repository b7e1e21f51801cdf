import { once } from "node:events";
import type { Server, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** Tracks requests in flight, so that a stop can wait for them. */
export interface InFlight {
  readonly isDraining: boolean;
  add(response: ServerResponse): void;
  /** Accepts no new connection, and waits for requests in flight, up to the timeout. */
  drain(server: Server, milliseconds: number): Promise<void>;
}

export function inFlight(): InFlight {
  const responses = new Set<ServerResponse>();
  let isDraining = false;
  return {
    get isDraining() {
      return isDraining;
    },
    add(response) {
      responses.add(response);
      response.once("close", () => responses.delete(response));
      // A kept-alive connection would bring further requests to a server that is stopping.
      if (isDraining) response.setHeader("Connection", "close");
    },
    async drain(server, milliseconds) {
      isDraining = true;
      const closed = once(server, "close");
      server.close();
      server.closeIdleConnections();
      const patience = new AbortController();
      await Promise.race([
        Promise.all([...responses].map((response) => once(response, "close"))),
        sleep(milliseconds, undefined, { signal: patience.signal }).catch(() => {}),
      ]);
      patience.abort();
      server.closeAllConnections();
      await closed;
    },
  };
}
