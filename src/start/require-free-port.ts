import { isPortFree } from "../postgres/free-port.ts";
import { UserError } from "../user-error.ts";

/** Before anything is made: a start that fails later leaves data behind that was not asked for. */
export async function requireFreePort(
  { host, port }: { readonly host: string; readonly port: number },
  variable: string,
): Promise<void> {
  if (port === 0 || (await isPortFree(port, host))) return;
  throw new UserError(
    "port_in_use",
    `port ${port} of ${host} is in use`,
    `Set ${variable} to another port, or stop what uses this one. If storage-qos runs already, ` +
      "npx storage-qos status shows it.",
  );
}
