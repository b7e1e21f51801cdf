import { withConnection } from "../../postgres/connect.ts";
import { withRole } from "../../postgres/url.ts";
import { type Administrator, createAdministrator } from "./create-administrator.ts";
import { hasAdministrator } from "./has-administrator.ts";

/** Creates the first administrator; undefined where there is one already. */
export async function firstAdministrator(adminUrl: string): Promise<Administrator | undefined> {
  return withConnection(withRole(adminUrl, "rate_limiter_owner"), async (sql) =>
    (await hasAdministrator(sql)) ? undefined : createAdministrator(sql),
  );
}
