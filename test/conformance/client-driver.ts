import { createLimiter, LimiterError } from "../../src/client/index.ts";
import { breakableLink } from "../client/breakable-link.ts";
import { silent } from "../client/silent.ts";
import type { TestDatabase } from "../harness/index.ts";
import { type Driver, RequestError } from "./driver.ts";

/** Each caller is a limiter with connections and leases of its own. */
export async function clientDriver(database: TestDatabase): Promise<Driver> {
  const link = await breakableLink(database.urlAs("rate_limiter_app"));
  return {
    name: "the client",
    most: 8,
    link,
    async open({ apiKey }) {
      const limiter = createLimiter({
        connection: link.url,
        apiKey,
        // The database does answer, however slow the machine is.
        timeoutMs: 20_000,
        outage: { policy: "closed" },
        logger: silent,
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
    close: () => link.close(),
  };
}
