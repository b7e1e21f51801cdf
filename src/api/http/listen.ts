import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { UserError } from "../../user-error.ts";

/** Answers the URL under which the server is reached. */
export async function listen(server: Server, host: string, port: number): Promise<string> {
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    throw readable(error as NodeJS.ErrnoException, host, port);
  }
  const { port: actual } = server.address() as AddressInfo;
  return `http://${host.includes(":") ? `[${host}]` : host}:${actual}/`;
}

function readable(cause: NodeJS.ErrnoException, host: string, port: number): Error {
  if (cause.code === "EADDRINUSE") {
    return new UserError(
      "port_in_use",
      `port ${port} of ${host} is in use`,
      "Set API_PORT to another port, or stop what uses this one.",
      { cause },
    );
  }
  return new UserError(
    "address_unusable",
    `nothing listens on port ${port} of ${host}: ${cause.code ?? cause.message}`,
    "Set API_HOST to an address of this machine, and API_PORT to a port that this account may use.",
    { cause },
  );
}
