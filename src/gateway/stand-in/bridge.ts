import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "../../postgres/connect.ts";

/** Runs the gateway's statements in PostgreSQL for the stand-in of its connection. */
export interface Bridge {
  readonly port: number;
  /** Statements so far, newest last. */
  readonly statements: readonly string[];
  /** Answers nothing any more: connections end without a word. */
  fail(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function startBridge(url: string): Promise<Bridge> {
  const sql = connect(url, { max: 8 });
  const statements: string[] = [];
  let isFailing = false;
  const server = createServer(async (request, response) => {
    const { statement, parameters } = JSON.parse(await bodyOf(request));
    statements.push(statement);
    if (isFailing) {
      request.socket.destroy();
      return;
    }
    const answer = await sql
      .unsafe(statement, parameters)
      .then((rows) => ({ rows }))
      .catch(({ code, message, detail, hint }) => ({ error: { code, message, detail, hint } }));
    response.end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    statements,
    fail() {
      isFailing = true;
    },
    mend() {
      isFailing = false;
    },
    async close() {
      await new Promise((resolve) => server.close(resolve));
      await sql.end();
    },
  };
}

async function bodyOf(request: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
