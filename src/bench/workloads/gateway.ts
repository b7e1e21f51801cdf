import { missingForGateway, shareNginx } from "../gateway/nginx.ts";
import { requestsPerSecond } from "../gateway/wrk.ts";
import type { Workload } from "../types.ts";

const warmUpSeconds = 1;

export const gatewayLease: Workload = served(
  "gateway",
  "nginx with the gateway out of leases, both kinds, a small file on one worker",
  "lease",
);

export const limitReq: Workload = served(
  "limit-req",
  "the same nginx with resty.limit.req, the same file",
  "limited",
);

function served(name: string, says: string, path: "lease" | "limited"): Workload {
  return {
    ...{ name, says, unit: "requests per second", missing: missingForGateway },
    async start(bench) {
      const nginx = await shareNginx(bench);
      const url = nginx.url(path);
      return {
        async round() {
          // Code is compiled, and leases, given back between the rounds, grow to what is asked for.
          await requestsPerSecond(url, warmUpSeconds);
          return { figure: await requestsPerSecond(url, bench.seconds) };
        },
        stop: () => nginx.stop(),
      };
    },
  };
}
