import { connect } from "../../src/postgres/connect.ts";
import type { TestDatabase } from "../harness/index.ts";
import { type Driver, layerOf, RequestError } from "./driver.ts";

/** Each decision is a call of consume_with_key(), each caller a connection. */
export function sqlDriver(database: TestDatabase): Driver {
  return {
    name: "SQL",
    most: 8,
    async open({ apiKey }) {
      const sql = connect(database.urlAs("rate_limiter_app"), { max: 1 });
      return {
        async decide(operation, sizeBytes = 0) {
          const [row] = await sql`
            select d.allowed, d.reason, d.retry_after_ms::float8 as "retryAfterMs"
            from rate_limiter.consume_with_key(${apiKey}, ${operation}, ${sizeBytes}) as d
          `.catch(({ code, message }) => {
            throw new RequestError(Number(String(code).slice(2)), message);
          });
          return {
            allowed: row?.allowed,
            reason: row?.reason,
            layer: row?.allowed ? null : layerOf(row?.reason),
            retryAfterMs: row?.retryAfterMs,
          };
        },
        rest: async () => {},
        leave: () => sql.end(),
      };
    },
    close: async () => {},
  };
}
