import { once } from "node:events";
import { connect } from "node:net";

/**
 * Sends bytes as they are, which no client library would, and answers all that comes back until the
 * server ends the connection.
 */
export async function rawRequest(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  // A server may close as soon as it has seen enough.
  socket.on("error", () => {});
  socket.end(Buffer.from(bytes, "latin1"));
  await once(socket, "close");
  return Buffer.concat(chunks).toString("latin1");
}

/** Of its first line; undefined where the server only closed the connection. */
export function statusOf(answer: string): number | undefined {
  const [, status] = /^HTTP\/1\.[01] (\d{3}) /.exec(answer) ?? [];
  return status === undefined ? undefined : Number(status);
}

/** What tells of the inside of the program: files, stacks, statements, states of PostgreSQL. */
export const inside = /node_modules|file:\/\/|\bat \S+ \(|\.ts:\d+|\bfrom rate_limiter|sqlstate/i;
