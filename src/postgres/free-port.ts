import { createServer } from "node:net";

/** What the system chose: it may choose the same port again before anything listens there. */
const chosen = new Set<number>();

/** The first free port on the loopback interface from `preferred` on; 0 lets the system choose. */
export async function freePort(preferred = 0): Promise<number> {
  const port = await tryPort(preferred);
  if (port === undefined) return freePort(preferred + 1);
  if (preferred === 0 && chosen.has(port)) return freePort();
  if (preferred === 0) chosen.add(port);
  return port;
}

export async function isPortFree(port: number, host?: string): Promise<boolean> {
  return (await tryPort(port, host)) !== undefined;
}

function tryPort(port: number, host = "127.0.0.1"): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE" || error.code === "EACCES") resolve(undefined);
      else reject(error);
    });
    server.listen(port, host, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" ? address?.port : undefined));
    });
  });
}
