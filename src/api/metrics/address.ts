import {
  type AddressVariables,
  type OperationsAddress,
  operationsAddress,
} from "../../operations/address.ts";

export const metricsVariables: AddressVariables = {
  host: "API_METRICS_HOST",
  port: "API_METRICS_PORT",
};

/** Where the API serves its metrics; nowhere unless a port is set. Never where callers reach it. */
export function apiMetricsAddress(env: NodeJS.ProcessEnv): OperationsAddress | undefined {
  return env.API_METRICS_PORT ? operationsAddress(env, metricsVariables, 0) : undefined;
}
