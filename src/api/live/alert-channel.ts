import type { Sql } from "../../postgres/connect.ts";
import { inContext } from "../in-context.ts";
import type { ApiRequest } from "../request.ts";

/** The NOTIFY channel of the alerts that the sender of the request may see. */
export async function alertChannel(sql: Sql, request: ApiRequest): Promise<string> {
  return inContext(
    sql,
    request,
    async (transaction) => {
      const [row] = await transaction<{ channel: string }[]>`
        select rate_limiter_admin.alert_channel() as channel
      `;
      return row?.channel ?? "";
    },
    { role: "rate_limiter_visitor" },
  );
}
