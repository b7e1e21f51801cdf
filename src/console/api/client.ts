import { Client, cacheExchange, fetchExchange, mapExchange } from "urql";
import { withSession } from "../session/session.ts";
import { connectionLost } from "./connection.ts";

export const graphqlClient = new Client({
  url: "/graphql",
  preferGetMethod: false,
  requestPolicy: "cache-and-network",
  fetch: withSession,
  fetchOptions: { headers: { "content-type": "application/json" } },
  exchanges: [
    mapExchange({
      onError(error) {
        if (error.networkError !== undefined) connectionLost();
      },
    }),
    cacheExchange,
    fetchExchange,
  ],
});
