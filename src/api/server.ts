import "./graphile-env.ts";
import { createServer, type IncomingMessage } from "node:http";
import pg from "pg";
import { postgraphile } from "postgraphile";
import { grafserv } from "postgraphile/grafserv/node";
import { logFor } from "../log.ts";
import { connect } from "../postgres/connect.ts";
import { hearLosses } from "../postgres/hear-losses.ts";
import type { StartApi } from "../service.ts";
import { requestHandler } from "./http/handler.ts";
import { inFlight } from "./http/in-flight.ts";
import { listen } from "./http/listen.ts";
import { openSockets } from "./http/open-sockets.ts";
import { authenticator } from "./identity/authenticator.ts";
import { oidcVerifier } from "./identity/oidc.ts";
import { signingKeys } from "./identity/signing-keys.ts";
import { apiPreset } from "./preset.ts";
import { type ApiRequest, describeRequest } from "./request.ts";
import { apiSettings } from "./settings.ts";

const log = logFor("api");

export const startApi: StartApi = async ({ databaseUrl, host, port, jwtSecretFile, env }) => {
  const environment = env ?? process.env;
  const settings = apiSettings(environment);
  const keys = signingKeys(environment, jwtSecretFile);
  const sql = connect(databaseUrl, {
    connection: {
      application_name: "storage-qos-api",
      statement_timeout: settings.statementTimeoutMs,
    },
  });
  const exportSql = connect(databaseUrl, {
    connection: { application_name: "storage-qos-export" },
  });
  const pool = graphqlPool(databaseUrl, settings.poolSize);
  const auth = authenticator(sql, keys, settings.oidc && oidcVerifier(settings.oidc));
  const requests = new WeakMap<IncomingMessage, ApiRequest>();

  /** HTTP's were identified before GraphQL saw them; those of a socket bring their own token. */
  async function requestOf(context: Partial<Grafast.RequestContext>): Promise<ApiRequest> {
    const known = context.node && requests.get(context.node.req);
    if (known !== undefined) return known;
    const message = context.ws?.request;
    if (message === undefined) throw new Error("a GraphQL request came from nowhere");
    const authorization = context.ws?.connectionParams?.authorization;
    return {
      ...describeRequest(message, settings.trustedProxies),
      identity: await auth.identify(authorization === undefined ? undefined : `${authorization}`),
    };
  }

  const preset = apiPreset({ settings, pool, sql, keys, requestOf });
  const graphile = postgraphile(preset);
  const graphql = createServer();
  const tracker = inFlight();
  const server = createServer(
    // Idle connections outlast those of the usual proxy, which would else write into a closed one.
    {
      ...{ requestTimeout: 30_000, headersTimeout: 10_000 },
      ...{ keepAliveTimeout: 65_000, maxHeaderSize: 16_384 },
    },
    requestHandler({
      ...{ settings, sql, exportSql, authenticator: auth, inFlight: tracker, graphql, requests },
    }),
  );
  const sockets = openSockets(settings);
  server.on("upgrade", (message, socket, head) => {
    if (sockets.admit(socket)) graphql.emit("upgrade", message, socket, head);
  });

  async function stop(): Promise<void> {
    sockets.close();
    if (server.listening) await tracker.drain(server, settings.drainMs);
    await graphile.release();
    // Else the connection that listens for notifications is never given back.
    await Promise.all((preset.pgServices ?? []).map((service) => service.release?.()));
    if (!pool.ended) await pool.end();
    await Promise.all([sql.end({ timeout: 5 }), exportSql.end({ timeout: 5 })]);
  }

  try {
    await graphile.getSchema();
    await graphile.createServ(grafserv).addTo(graphql);
    return { name: "api", url: await listen(server, host, port), stop };
  } catch (error) {
    await stop();
    throw error;
  }
};

function graphqlPool(connectionString: string, max: number): pg.Pool {
  const pool = new pg.Pool({
    ...{ connectionString, max, application_name: "storage-qos-graphql" },
  });
  hearLosses(pool, log);
  return pool;
}
