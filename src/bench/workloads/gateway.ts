import { absent } from "./absent.ts";

const reason = "the nginx gateway is not part of this version";

export const gatewayLease = absent("gateway", "nginx with the gateway", reason);
export const limitReq = absent("limit-req", "nginx with resty.limit.req", reason);
