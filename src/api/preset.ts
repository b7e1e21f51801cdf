import "./graphile-env.ts";
import { PgSimplifyInflectionPreset } from "@graphile/simplify-inflection";
import type pg from "pg";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { PostGraphileConnectionFilterPreset } from "postgraphile-plugin-connection-filter";
import type { Sql } from "../postgres/connect.ts";
import { alertChannelsPlugin } from "./graphql/alert-channels-plugin.ts";
import { answersPlugin } from "./graphql/answers-plugin.ts";
import { decimalPlugin } from "./graphql/decimal-plugin.ts";
import { documentsPlugin } from "./graphql/documents-plugin.ts";
import { durationPlugin } from "./graphql/duration-plugin.ts";
import { enumsPlugin } from "./graphql/enums-plugin.ts";
import { ideFiles, idePath } from "./graphql/ide-paths.ts";
import { inflectionPlugin } from "./graphql/inflection-plugin.ts";
import { limitsPlugin } from "./graphql/limits-plugin.ts";
import { maskError } from "./graphql/mask-error.ts";
import { oneTransactionPlugin } from "./graphql/one-transaction-plugin.ts";
import { persistedOperations } from "./graphql/persisted-operations.ts";
import { signInPlugin } from "./graphql/sign-in-plugin.ts";
import { stableOrderPlugin } from "./graphql/stable-order-plugin.ts";
import { subscriptionsPlugin } from "./graphql/subscriptions-plugin.ts";
import { surfacePlugin } from "./graphql/surface-plugin.ts";
import { tracingPlugin } from "./graphql/tracing-plugin.ts";
import type { OpenSockets } from "./http/open-sockets.ts";
import type { SignInParts } from "./identity/credential-check.ts";
import type { SigningKeys } from "./identity/signing-keys.ts";
import type { ApiMetrics } from "./metrics/metrics.ts";
import { type ApiRequest, requestClaims } from "./request.ts";
import { keptAnswers } from "./requests/kept-answers.ts";
import { transactionalService } from "./requests/one-transaction.ts";
import type { ApiSettings } from "./settings.ts";

export interface PresetParts {
  readonly settings: ApiSettings;
  readonly pool: pg.Pool;
  readonly sql: Sql;
  readonly signIn: SignInParts;
  readonly sockets: Pick<OpenSockets, "follows">;
  readonly keys: SigningKeys;
  readonly metrics: Pick<ApiMetrics, "refused">;
  /** Whether the request that a GraphQL request arrived in names a user. */
  isSignedIn(context: Partial<Grafast.RequestContext>): boolean;
  /** The request that a GraphQL request arrived in. */
  requestOf(context: Partial<Grafast.RequestContext>): ApiRequest | Promise<ApiRequest>;
}

/** Equality and order only: any user could make pattern matching arbitrarily slow. */
const filterOperators = [
  ...["isNull", "equalTo", "notEqualTo", "in", "notIn"],
  ...["lessThan", "lessThanOrEqualTo", "greaterThan", "greaterThanOrEqualTo"],
  ...["includesInsensitive", "startsWithInsensitive", "contains"],
];

export function apiPreset(parts: PresetParts): GraphileConfig.Preset {
  const { settings, pool } = parts;
  const { persistedFolder } = settings;
  return {
    extends: [
      PostGraphileAmberPreset,
      PgSimplifyInflectionPreset,
      PostGraphileConnectionFilterPreset,
    ],
    plugins: [
      inflectionPlugin,
      durationPlugin,
      decimalPlugin,
      enumsPlugin,
      documentsPlugin,
      stableOrderPlugin,
      alertChannelsPlugin,
      surfacePlugin,
      limitsPlugin({
        limits: settings,
        introspection: settings.introspection,
        persisted: persistedFolder ? persistedOperations(persistedFolder) : undefined,
        sockets: parts.sockets,
        isSignedIn: parts.isSignedIn,
      }),
      answersPlugin(settings, parts.metrics.refused),
      signInPlugin(parts.signIn, parts.keys),
      oneTransactionPlugin({ pool, answers: keptAnswers(parts.keys) }),
      tracingPlugin,
      subscriptionsPlugin(parts.sql),
    ],
    // One id a thing: its own. Globally unique ones would double every reader and every mutation.
    disablePlugins: [
      ...["NodePlugin", "AddNodeInterfaceToSuitableTypesPlugin", "PgTableNodePlugin"],
      ...["NodeIdCodecBase64JSONPlugin", "NodeIdCodecPipeStringPlugin"],
      ...["RegisterQueryNodePlugin", "PgNodeIdAttributesPlugin"],
      // What rows have is asked of them, with the filter of their own list.
      "PgConnectionArgFilterBackwardRelationsPlugin",
      // What Relay 1 needed; and a second, weaker way to filter.
      ...["QueryQueryPlugin", "PgMutationPayloadEdgePlugin", "PgConditionArgumentPlugin"],
      // A clash of names is a mistake to fix, and must not be skipped.
      "SwallowErrorsPlugin",
    ],
    pgServices: [
      transactionalService({
        pool,
        schemas: ["rate_limiter", "rate_limiter_admin", "rate_limiter_audit"],
        pubsub: true,
      }),
    ],
    gather: {
      // An argument without a default is to be given.
      pgStrictFunctions: true,
    },
    schema: {
      connectionFilterAllowedOperators: filterOperators,
      connectionFilterComputedColumns: false,
      connectionFilterSetofFunctions: false,
      connectionFilterArrays: false,
    },
    grafserv: {
      graphqlPath: "/graphql",
      graphiqlPath: idePath,
      graphiqlStaticPath: ideFiles,
      graphiql: settings.ide,
      graphiqlOnGraphQLGET: false,
      maxRequestLength: Math.max(settings.maxBodyBytes, settings.maxBulkBytes),
      websockets: true,
      maskError: maskError(settings.production, parts.metrics.refused),
    },
    grafast: {
      explain: false,
      async context(requestContext) {
        const apiRequest = await parts.requestOf(requestContext);
        return { apiRequest, pgSettings: pgSettings(apiRequest, settings.statementTimeoutMs) };
      },
    },
  };
}

/** Every statement of a request runs as the visitor, with the claims of its sender. */
function pgSettings(request: ApiRequest, timeoutMs: number): Record<string, string> {
  return {
    ...requestClaims(request),
    role: "rate_limiter_visitor",
    intervalstyle: "iso_8601",
    statement_timeout: String(timeoutMs),
  };
}
