import type { Sql } from "../../postgres/connect.ts";
import { inContext } from "../in-context.ts";
import type { ApiRequest } from "../request.ts";

/** Whether the sender's user and tenant are active, where an identity provider keeps the session. */
export async function userIsActive(sql: Sql, request: ApiRequest): Promise<boolean> {
  return inContext(
    sql,
    request,
    async (transaction) => {
      const [row] = await transaction<{ lasts: boolean }[]>`
        select rate_limiter_internal.current_user_id() is not null as lasts
      `;
      return row?.lasts ?? false;
    },
    { role: "rate_limiter_visitor" },
  );
}
