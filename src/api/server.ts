import "./graphile-env.ts";
import { createServer, type IncomingMessage } from "node:http";
import pg from "pg";
import { postgraphile } from "postgraphile";
import { grafserv } from "postgraphile/grafserv/node";
import { type MonitoringServer, serveHealthAndMetrics } from "../http/health-and-metrics.ts";
import { listen } from "../http/listen.ts";
import { logFor } from "../log.ts";
import { connect } from "../postgres/connect.ts";
import { handlePoolErrors } from "../postgres/handle-pool-errors.ts";
import { requireOneSession } from "../postgres/require-one-session.ts";
import { withSessionSettings } from "../postgres/url.ts";
import { logIgnored, pgConfig } from "../postgres/url-drivers.ts";
import { urlTarget } from "../postgres/url-target.ts";
import { watchPool } from "../postgres/watch-pool.ts";
import { type Announcement, announceProcess } from "../processes/announce-process.ts";
import type { StartApi } from "../service.ts";
import { consoleFiles } from "./console/console-files.ts";
import { exportConnections, exportSlots } from "./exports/export-slots.ts";
import { turns } from "./fairness/turns.ts";
import { runningStatements } from "./http/cancel-abandoned.ts";
import { requestHandler } from "./http/handler.ts";
import { inFlight } from "./http/in-flight.ts";
import { openSockets } from "./http/open-sockets.ts";
import { authenticator } from "./identity/authenticator.ts";
import { oidcVerifier } from "./identity/oidc.ts";
import { secondFactors } from "./identity/second-factors.ts";
import { authorizationOfSocket } from "./identity/session-cookies.ts";
import { signingKeys } from "./identity/signing-keys.ts";
import { paceAlerts } from "./live/alert-keys.ts";
import { apiMetrics } from "./metrics/metrics.ts";
import { hashQueue } from "./passwords/hash-queue.ts";
import { apiPreset } from "./preset.ts";
import { type ApiRequest, describeRequest } from "./request.ts";
import {
  addressSettings,
  apiSettings,
  metricsAddress,
  metricsAddressSettings,
} from "./settings.ts";

const log = logFor("api");

/** Sign-ins have connections of their own: strangers can ask for any number of them. */
const signInConnections = 2;

/** After this a request learns that the database is away, and does not wait on. */
const connectionTimeoutMillis = 5_000;

export const startApi: StartApi = async ({ databaseUrl, host, port, jwtSecretFile, env }) => {
  const environment = env ?? process.env;
  const settings = apiSettings(environment);
  const keys = signingKeys(environment, jwtSecretFile);
  await requireOneSession(
    databaseUrl,
    "Give the API a direct connection to the server: it listens for changes and keeps statements " +
      "prepared. Gateways and clients may go through the pooler.",
  );
  const sql = connect(databaseUrl, {
    // After a failover a connection may lead to a server that is read-only: none lasts long.
    max_lifetime: 10,
    connection: {
      application_name: "storage-qos-api",
      statement_timeout: settings.statementTimeoutMs,
    },
  });
  const signInSql = connect(databaseUrl, {
    max: signInConnections,
    connection: {
      application_name: "storage-qos-sign-in",
      statement_timeout: settings.statementTimeoutMs,
    },
  });
  const exportSql = connect(databaseUrl, {
    max: exportConnections,
    connection: { application_name: "storage-qos-export" },
  });
  const pool = graphqlPool(databaseUrl, settings.poolSize);
  const connections = watchPool(pool, log);
  const auth = authenticator(sql, keys, settings.oidc && oidcVerifier(settings.oidc));
  const requests = new WeakMap<IncomingMessage, ApiRequest>();

  /** HTTP requests were identified by the handler; those of a socket have a token of their own. */
  async function requestOf(context: Partial<Grafast.RequestContext>): Promise<ApiRequest> {
    const known = context.node && requests.get(context.node.req);
    if (known !== undefined) return known;
    const message = context.ws?.request;
    if (message === undefined)
      throw new Error("the GraphQL request has neither a request nor a socket");
    const request = {
      ...describeRequest(message, settings.trustedProxies),
      identity: await auth.identify(
        context.ws?.connectionParams?.session === "cookie"
          ? authorizationOfSocket(message, settings.production)
          : authorizationOf(context.ws?.connectionParams),
      ),
    };
    sockets.signedIn(message, request);
    return request;
  }

  const signIn = { sql: signInSql, hashes: hashQueue(), factors: secondFactors(keys) };
  const sockets = openSockets(settings);
  const metrics = apiMetrics();
  const isSignedIn = ({ node }: Partial<Grafast.RequestContext>) =>
    node !== undefined && requests.get(node.req)?.identity !== undefined;
  const preset = apiPreset({
    ...{ settings, pool, sql, signIn, sockets, keys, metrics },
    ...{ requestOf, isSignedIn },
  });
  const graphile = postgraphile(preset);
  const graphql = createServer();
  const tracker = inFlight();
  const exports = exportSlots();
  const requestTurns = turns({
    running: settings.poolSize,
    runningOfTenant: settings.maxRequestsOfTenant,
    runningOfUser: settings.maxRequestsOfUser,
    ...{ waiting: 1_000, waitingOfUser: 50 },
  });
  const canWrite = connections.isWritable;
  metrics.watch({ pool, turns: requestTurns, exports, sockets, canWrite });
  let monitoring: MonitoringServer | undefined;
  const server = createServer(
    // Idle connections outlast those of common proxies, which would otherwise write to a closed one.
    {
      ...{ requestTimeout: 30_000, headersTimeout: 10_000 },
      ...{ keepAliveTimeout: 65_000, maxHeaderSize: 16_384 },
    },
    requestHandler({
      ...{ settings, sql, exportSql, exportSlots: exports, authenticator: auth },
      ...{ inFlight: tracker, graphql, requests, metrics, requestTurns },
      canWrite,
      consoleFiles: consoleFiles(),
      statements: runningStatements(pool, sql),
    }),
  );
  server.on("upgrade", (message, socket, head) => {
    const { ipAddress = "" } = describeRequest(message, settings.trustedProxies);
    if (sockets.admit(message, socket, ipAddress)) graphql.emit("upgrade", message, socket, head);
  });

  let announcement: Announcement | undefined;

  async function stop(): Promise<void> {
    sockets.close();
    connections.stop();
    if (server.listening) await tracker.drain(server, settings.drainMs);
    await announcement?.stop();
    await graphile.release();
    // Otherwise the connection that listens for notifications is never released.
    await Promise.all((preset.pgServices ?? []).map((service) => service.release?.()));
    if (!pool.ended) await pool.end();
    await monitoring?.stop();
    await Promise.all([sql, signInSql, exportSql].map((each) => each.end({ timeout: 5 })));
  }

  try {
    await graphile.getSchema();
    await connections.first;
    await graphile.createServ(grafserv).addTo(graphql);
    const address = metricsAddress(settings);
    if (address !== undefined) {
      monitoring = await serveHealthAndMetrics({
        ...{ register: metrics.register, address, settings: metricsAddressSettings },
        isReady: () => !tracker.isDraining && canWrite(),
      });
    }
    const url = await listen(server, { host, port }, addressSettings);
    announcement = announceProcess({
      kind: "api",
      query: (text, values) => sql.unsafe(text, values as never[]),
    });
    return { name: "api", url, stop, ...(monitoring && { metricsUrl: monitoring.url }) };
  } catch (error) {
    await stop();
    throw error;
  }
};

/** As HTTP's header, whose name has any case. */
function authorizationOf(parameters: unknown): string | undefined {
  const found = Object.entries(Object(parameters)).find(
    ([name]) => name.toLowerCase() === "authorization",
  );
  return found === undefined ? undefined : `${found[1]}`;
}

function graphqlPool(url: string, max: number): pg.Pool {
  const target = urlTarget(withSessionSettings(url));
  logIgnored(target, "pg", log);
  const pool = new pg.Pool({
    application_name: "storage-qos-graphql",
    connectionTimeoutMillis,
    ...pgConfig(target),
    max,
  });
  handlePoolErrors(pool, log);
  pool.on("connect", paceAlerts);
  return pool;
}
