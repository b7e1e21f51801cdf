import { expect, vi } from "vitest";
import { openWay } from "../gateway/gateway-world.ts";
import { type Nginx, startNginx } from "../gateway/nginx.ts";
import { startStorage } from "../gateway/storage.ts";
import type { TestDatabase } from "../harness/index.ts";
import { type Caller, type Driver, RequestError, type Verdict } from "./driver.ts";

const most = 8;
const settings = { QOS_DATABASE_TIMEOUT_MS: "20000", QOS_OUTAGE_POLICY: "closed" };

/** Requests that are such operations, by the gateway's own map. */
const requests: Record<string, { readonly method: string; readonly path: string }> = {
  head: { method: "HEAD", path: "/b/o" },
  list: { method: "GET", path: "/b/" },
  delete: { method: "DELETE", path: "/b/o" },
  write_small: { method: "PUT", path: "/b/o" },
  write_medium: { method: "PUT", path: "/b/o" },
  write_large: { method: "PUT", path: "/b/o" },
};

/** Each caller is an nginx of its own: a gateway on another machine, as far as it knows. */
export async function gatewayDriver(database: TestDatabase): Promise<Driver> {
  const way = await openWay(database.urlAs("rate_limiter_app"));
  const storage = await startStorage();
  const gateways: Nginx[] = [];
  for (let place = 0; place < most; place += 1) {
    gateways.push(
      await startNginx({
        upstreamPort: storage.port,
        workers: place === 0 ? 2 : 1,
        environment: { ...way.settings, ...settings },
      }),
    );
  }
  return {
    name: "the gateway",
    most,
    link: way,
    async open({ apiKey, appId }, place = 0) {
      const nginx = gateways[place] as Nginx;
      return {
        decide: deciding(nginx, apiKey),
        rest: () => allGoneBack(database, appId),
        leave: async () => {},
      };
    },
    async close() {
      await Promise.all(gateways.map((nginx) => nginx.stop()));
      await storage.close();
      await way.close();
    },
  };
}

/** A gateway returns a lease that was idle for a second. */
async function allGoneBack({ sql }: TestDatabase, appId: string): Promise<void> {
  await vi.waitFor(
    async () => {
      const open = await sql`
        select from rate_limiter.token_leases where app_id = ${appId} and settled_at is null
      `;
      expect(open).toHaveLength(0);
    },
    { timeout: 20_000, interval: 50 },
  );
}

function deciding(nginx: Nginx, apiKey: string): Caller["decide"] {
  return async (operation, sizeBytes = 0) => {
    const { method, path } = requests[operation] as (typeof requests)[string];
    const body = method === "PUT" ? { body: Buffer.alloc(sizeBytes) } : {};
    const headers = { "X-API-Key": apiKey };
    const response = await fetch(nginx.url + path, { method, headers, ...body });
    const text = await response.text();
    if (response.status !== 200) return verdictOf(response, text);
    const reason = response.headers.get("X-RateLimit-Shadow");
    return { allowed: true, reason, layer: null, retryAfterMs: 0 };
  };
}

function verdictOf(response: Response, text: string): Verdict {
  // A denied HEAD has no body: its fields tell.
  const problem = text === "" ? problemOfFields(response) : JSON.parse(text);
  if (problem.reason === undefined) throw new RequestError(response.status, problem.title);
  return {
    allowed: false,
    reason: problem.reason,
    layer: problem.layer,
    retryAfterMs: problem.retry_after_ms,
  };
}

function problemOfFields(response: Response) {
  const reason = /"(\w+)";r=\d+;t=/.exec(response.headers.get("RateLimit") ?? "")?.[1];
  const seconds = Number(response.headers.get("Retry-After"));
  return {
    title: response.statusText,
    reason,
    layer: Number(reason?.at(-1)),
    retry_after_ms: seconds * 1_000,
  };
}
