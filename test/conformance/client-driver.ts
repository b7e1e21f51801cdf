import { createLimiter, LimiterError } from "../../src/client/index.ts";
import type { TestDatabase } from "../harness/index.ts";
import { type Driver, RequestError } from "./driver.ts";

/** Each caller is a limiter with connections and leases of its own. */
export function clientDriver(database: TestDatabase): Driver {
  return {
    name: "the client",
    most: 8,
    async open({ apiKey }) {
      const limiter = createLimiter({
        connection: database.urlAs("rate_limiter_app"),
        apiKey,
        // The database does answer, however slow the machine is.
        timeoutMs: 20_000,
      });
      return {
        async decide(operation, sizeBytes = 0) {
          const decision = await limiter.checkAsync(operation, sizeBytes).catch((error) => {
            if (!(error instanceof LimiterError)) throw error;
            throw new RequestError(Number(error.code.slice(2)), error.message);
          });
          const { allowed, reason, retryAfterMs } = decision;
          return { allowed, reason, layer: allowed ? null : decision.layer, retryAfterMs };
        },
        rest: () => limiter.close(),
        leave: () => limiter.close(),
      };
    },
    close: async () => {},
  };
}
