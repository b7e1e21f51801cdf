import type { Sql } from "../../postgres/connect.ts";
import { inContext } from "../in-context.ts";
import type { ApiRequest } from "../request.ts";

/** Whether the sender's user and tenant are active, where the session is not kept here; of a service token, its maker too. */
export async function userIsActive(sql: Sql, request: ApiRequest): Promise<boolean> {
  return inContext(
    sql,
    request,
    async (transaction) => {
      const [row] = await transaction<{ lasts: boolean }[]>`
        select rate_limiter_internal.current_user_id() is not null
          and (
            rate_limiter_internal.current_token_id() is null
            or rate_limiter_internal.token_is_backed(rate_limiter_internal.current_token_id())
          ) as lasts
      `;
      return row?.lasts ?? false;
    },
    { role: "rate_limiter_visitor" },
  );
}
