import {
  type AddressVariables,
  type OperationsAddress,
  operationsAddress,
} from "../operations/address.ts";

export const workerVariables: AddressVariables = { host: "WORKER_HOST", port: "WORKER_PORT" };
const usualPort = 5679;

/** Where the worker serves its metrics: WORKER_HOST and WORKER_PORT. */
export function workerAddress(env: NodeJS.ProcessEnv): OperationsAddress {
  return operationsAddress(env, workerVariables, usualPort);
}
