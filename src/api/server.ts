import { createServer } from "node:http";
import type { StartApi } from "../service.ts";

/** Answers /healthz only so far: the GraphQL API is the admin API issue's. */
export const startApi: StartApi = async ({ host, port }) => {
  const server = createServer((request, response) => {
    response.statusCode = request.url === "/healthz" ? 200 : 404;
    response.end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return {
    name: "api",
    url: `http://${host}:${port}/healthz`,
    stop: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
};
