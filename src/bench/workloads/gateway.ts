import { absent } from "./absent.ts";

const reason = "the benchmark does not drive the nginx gateway yet";

export const gatewayLease = absent("gateway", "nginx with the gateway", reason);
export const limitReq = absent("limit-req", "nginx with resty.limit.req", reason);
