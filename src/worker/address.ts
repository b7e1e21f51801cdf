import { UserError } from "../user-error.ts";

const usualPort = 5679;

/** Where the worker serves its metrics: WORKER_HOST and WORKER_PORT. */
export function workerAddress(env: NodeJS.ProcessEnv): { host: string; port: number } {
  const port = env.WORKER_PORT ? Number(env.WORKER_PORT) : usualPort;
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new UserError("port_invalid", `WORKER_PORT is not a port number: ${env.WORKER_PORT}`);
  }
  return { host: env.WORKER_HOST || "127.0.0.1", port };
}
