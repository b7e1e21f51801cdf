import { UserError } from "../user-error.ts";

const usualPort = 5678;

/** Where the API listens: API_HOST and API_PORT. Only this machine reaches it unless told so. */
export function apiAddress(env: NodeJS.ProcessEnv): { host: string; port: number } {
  const port = env.API_PORT ? Number(env.API_PORT) : usualPort;
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new UserError("port_invalid", `API_PORT is not a port number: ${env.API_PORT}`);
  }
  return { host: env.API_HOST || "127.0.0.1", port };
}
