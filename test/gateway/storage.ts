import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What the gateway protects: objects of any size, and errors when asked for them. */
export interface Storage {
  readonly port: number;
  /** Every request that came through. */
  readonly requests: {
    method: string;
    url: string;
    headers: IncomingMessage["headers"];
    bytes: number;
    /** Whether its connection has ended before all of it came. */
    isAborted: boolean;
  }[];
  close(): Promise<void>;
}

export async function startStorage(): Promise<Storage> {
  const requests: Storage["requests"] = [];
  const server = createServer((request, response) => {
    const seen = {
      method: request.method ?? "",
      url: request.url ?? "",
      headers: request.headers,
      bytes: 0,
      isAborted: false,
    };
    requests.push(seen);
    request.on("data", (data: Buffer) => {
      seen.bytes += data.length;
    });
    request.on("end", () => answer(request, response));
    request.on("error", () => {});
    request.on("close", () => {
      seen.isAborted = !request.complete;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** /bytes/N answers N bytes, /status/N that status; everything else "ok". */
function answer(request: IncomingMessage, response: ServerResponse): void {
  const [, bytes] = /\/bytes\/(\d+)/.exec(request.url ?? "") ?? [];
  const [, status] = /\/status\/(\d+)/.exec(request.url ?? "") ?? [];
  response.statusCode = Number(status ?? 200);
  response.end(bytes === undefined ? "ok" : Buffer.alloc(Number(bytes), "x"));
}
