import { createClient } from "graphql-ws";
import { renewIfNeeded } from "../session/session.ts";

/** One for the page. It closes with the last subscription, so that the next one has new cookies. */
export const socket = createClient({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/graphql`,
  connectionParams: { session: "cookie" },
  lazyCloseTimeout: 0,
  retryAttempts: 0,
  async retryWait() {},
  on: {},
  keepAlive: 20_000,
});

/** What a handshake cannot wait for. */
export const beforeHandshake = renewIfNeeded;
