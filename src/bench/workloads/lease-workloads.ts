import { absent } from "./absent.ts";

const noClient = "the TypeScript client is not part of this version";
const noGateway = "the nginx gateway is not part of this version";

export const leaseChecks = absent("lease", "checks by the TypeScript client, one core", noClient);
export const leaseCalls = absent(
  "lease-calls",
  "database calls of one application, 500 callers, 100,000 decisions a second offered",
  noClient,
);
export const gatewayLease = absent("gateway", "nginx with the gateway", noGateway);
export const limitReq = absent("limit-req", "nginx with resty.limit.req", noGateway);
