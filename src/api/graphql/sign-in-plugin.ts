import { context, sideEffect } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import type { Sql } from "../../postgres/connect.ts";
import { refreshSession } from "../identity/refresh-session.ts";
import { type Credentials, signIn } from "../identity/sign-in.ts";
import type { SigningKeys } from "../identity/signing-keys.ts";
import { type Tokens, tokensFor } from "../identity/tokens.ts";
import type { ApiRequest } from "../request.ts";

declare global {
  namespace Grafast {
    interface Context {
      readonly apiRequest: ApiRequest;
    }
  }
}

/** The two mutations that nobody need be signed in for. */
export function signInPlugin(sql: Sql, keys: SigningKeys): GraphileConfig.Plugin {
  const login = async (credentials: Credentials, request: ApiRequest): Promise<Tokens> =>
    tokensFor(sql, keys, await signIn(sql, credentials, request));
  const refresh = async (refreshToken: string, request: ApiRequest): Promise<Tokens> =>
    tokensFor(sql, keys, await refreshSession(sql, refreshToken, request));

  return extendSchema({
    typeDefs: gql`
      input LoginInput {
        email: String!
        password: String!
        """The name of the tenant, where several know the same address and password."""
        tenant: String
      }

      input RefreshInput {
        """The refresh token that came last: it is spent by this."""
        refreshToken: String!
      }

      """What a client keeps of a sign-in."""
      type SessionTokens {
        """Goes into the header of each request, as: Authorization: Bearer …"""
        accessToken: String!
        accessTokenExpiresAt: Datetime!
        """Works once. Using it a second time ends the session."""
        refreshToken: String!
        refreshTokenExpiresAt: Datetime!
        """When the session ends, however often it is refreshed."""
        sessionExpiresAt: Datetime!
      }

      extend type Mutation {
        """Starts a session by email and password."""
        login(input: LoginInput!): SessionTokens
        """Continues a session: new tokens for the refresh token."""
        refresh(input: RefreshInput!): SessionTokens
      }
    `,
    objects: {
      Mutation: {
        plans: {
          login(_, fieldArgs) {
            const $request = context().get("apiRequest");
            return sideEffect([fieldArgs.getRaw("input"), $request] as const, ([input, request]) =>
              login(input as Credentials, request),
            );
          },
          refresh(_, fieldArgs) {
            const $request = context().get("apiRequest");
            return sideEffect(
              [fieldArgs.getRaw(["input", "refreshToken"]), $request] as const,
              ([token, request]) => refresh(token as string, request),
            );
          },
        },
      },
    },
  });
}
