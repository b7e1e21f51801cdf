import { withConnection } from "../../postgres/connect.ts";
import { withRole } from "../../postgres/url.ts";
import { type Administrator, createAdministrator } from "./create-administrator.ts";
import { hasAdministrator } from "./has-administrator.ts";

/** Somebody has to be able to sign in first; undefined where somebody can already. */
export async function firstAdministrator(adminUrl: string): Promise<Administrator | undefined> {
  return withConnection(withRole(adminUrl, "rate_limiter_owner"), async (sql) =>
    (await hasAdministrator(sql)) ? undefined : createAdministrator(sql),
  );
}
