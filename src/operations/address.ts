import { UserError } from "../user-error.ts";

/** Where a process serves metrics and health. */
export interface OperationsAddress {
  readonly host: string;
  readonly port: number;
}

/** The names of the variables that say so. */
export interface AddressVariables {
  readonly host: string;
  readonly port: string;
}

/** An address from two variables; only this machine reaches it unless told so. */
export function operationsAddress(
  env: NodeJS.ProcessEnv,
  variables: AddressVariables,
  usualPort: number,
): OperationsAddress {
  const port = env[variables.port] ? Number(env[variables.port]) : usualPort;
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    const given = env[variables.port];
    throw new UserError("port_invalid", `${variables.port} is not a port number: ${given}`);
  }
  return { host: env[variables.host] || "127.0.0.1", port };
}
