import type { ApiRequest } from "../request.ts";
import type { Party } from "./turns.ts";

/** Senders without a sign-in are told apart by address, and share what a tenant has. */
export function partyOf({ identity, ipAddress }: ApiRequest): Party {
  if (identity === undefined) return { user: `address ${ipAddress}`, tenant: "strangers" };
  return { user: identity.userId, tenant: identity.tenant };
}
