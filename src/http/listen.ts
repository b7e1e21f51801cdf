import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { UserError } from "../user-error.ts";
import type { Address, AddressSettings } from "./address.ts";

/** Answers the URL under which the server is reached. */
export async function listen(
  server: Server,
  { host, port }: Address,
  settings: AddressSettings,
): Promise<string> {
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    throw readable(error as NodeJS.ErrnoException, { host, port }, settings);
  }
  const { port: actual } = server.address() as AddressInfo;
  return `http://${host.includes(":") ? `[${host}]` : host}:${actual}/`;
}

function readable(
  cause: NodeJS.ErrnoException,
  { host, port }: Address,
  settings: AddressSettings,
): Error {
  const [hostVariable, portVariable] = [settings.host.variable, settings.port.variable];
  if (cause.code === "EADDRINUSE") {
    return new UserError(
      "port_in_use",
      `port ${port} of ${host} is in use`,
      `Set ${portVariable} to another port, or stop what uses this one.`,
      { cause },
    );
  }
  return new UserError(
    "address_unusable",
    `nothing listens on port ${port} of ${host}: ${cause.code ?? cause.message}`,
    `Set ${hostVariable} to an address of this machine, and ${portVariable} to a port that this account may use.`,
    { cause },
  );
}
