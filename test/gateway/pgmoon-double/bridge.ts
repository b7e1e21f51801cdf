import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "../../../src/postgres/connect.ts";

/** Runs the gateway's statements in PostgreSQL for the double of its connection. */
export interface Bridge {
  readonly port: number;
  /** Statements so far, newest last. */
  readonly statements: readonly string[];
  /** Answers nothing any more: connections end without a word. */
  fail(): void;
  /** What is asked is done, and its connection ends before the answer is back. */
  loseAnswers(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function startBridge(url: string): Promise<Bridge> {
  // As the gateway's own connections: the timeout is a parameter of the session's start.
  const pools = new Map<number, ReturnType<typeof connect>>();
  function poolOf(timeoutMs: number) {
    const pool =
      pools.get(timeoutMs) ??
      connect(url, { max: 8, connection: { statement_timeout: timeoutMs } });
    pools.set(timeoutMs, pool);
    return pool;
  }
  const statements: string[] = [];
  let isFailing = false;
  let losesAnswers = false;
  const server = createServer(async (request, response) => {
    const { statement, parameters, timeout_ms: timeoutMs } = JSON.parse(await bodyOf(request));
    statements.push(statement);
    if (isFailing) {
      request.socket.destroy();
      return;
    }
    const answer = await poolOf(timeoutMs)
      .unsafe(statement, parameters)
      .then((rows) => ({ rows }))
      .catch(({ code, message, detail, hint }) => ({ error: { code, message, detail, hint } }));
    if (losesAnswers) request.socket.destroy();
    else response.end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    statements,
    fail() {
      isFailing = true;
    },
    loseAnswers() {
      losesAnswers = true;
    },
    mend() {
      isFailing = false;
      losesAnswers = false;
    },
    async close() {
      await new Promise((resolve) => server.close(resolve));
      await Promise.all([...pools.values()].map((pool) => pool.end()));
    },
  };
}

async function bodyOf(request: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
