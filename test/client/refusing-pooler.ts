import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A link to the database that answers as PgBouncer to a parameter that it does not know. */
export interface RefusingPooler {
  readonly url: string;
  /** Sessions that were refused. */
  readonly refused: number;
  close(): Promise<void>;
}

export async function refusingPooler(url: string, parameter: string): Promise<RefusingPooler> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let refused = 0;
  const server = createServer((near) => {
    sockets.add(near);
    near.on("error", () => near.destroy());
    near.once("data", (startup) => {
      if (startup.includes(parameter)) {
        refused += 1;
        near.end(errorOf(`unsupported startup parameter: ${parameter}`));
        return;
      }
      const far = connect(Number(target.port), target.hostname);
      sockets.add(far);
      far.on("error", () => far.destroy());
      far.write(startup);
      near.pipe(far);
      far.pipe(near);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const link = new URL(url);
  link.hostname = "127.0.0.1";
  link.port = String((server.address() as AddressInfo).port);
  return {
    url: link.href,
    get refused() {
      return refused;
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function errorOf(message: string): Buffer {
  const body = Buffer.from(`SFATAL\0C08P01\0M${message}\0\0`);
  const head = Buffer.alloc(5);
  head.write("E");
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
