import { withLogin, withRole } from "../../src/postgres/url.ts";
import type { HarnessContext } from "./server.ts";

export type Role =
  | "rate_limiter_owner"
  | "rate_limiter_migrator"
  | "rate_limiter_app"
  | "rate_limiter_worker"
  | "rate_limiter_authenticator"
  | "rate_limiter_visitor"
  | "rate_limiter_readonly";

/** Roles without login, and the one that may become them. */
const reachedThrough: Partial<Record<Role, Role>> = {
  rate_limiter_owner: "rate_limiter_migrator",
  rate_limiter_visitor: "rate_limiter_authenticator",
};

/** A connection as production would have it: a real login, that becomes the role if need be. */
export function urlAs(url: string, role: Role, { prefix, password }: HarnessContext): string {
  const through = reachedThrough[role];
  const loginRole = (through ?? role).replace("rate_limiter", prefix);
  const asLogin = withLogin(url, loginRole, password);
  return through === undefined ? asLogin : withRole(asLogin, role);
}
