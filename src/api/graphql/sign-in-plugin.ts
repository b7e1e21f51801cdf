import { context, type FieldArgs, sideEffect } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import { cookieSessions } from "../identity/cookie-sessions.ts";
import type { SignInParts } from "../identity/credential-check.ts";
import { acceptInvitation, ownAccount, resetPassword } from "../identity/own-account.ts";
import { refreshSession } from "../identity/refresh-session.ts";
import { type Credentials, signIn } from "../identity/sign-in.ts";
import type { SigningKeys } from "../identity/signing-keys.ts";
import { tokensFor } from "../identity/tokens.ts";
import type { ApiRequest } from "../request.ts";

declare global {
  namespace Grafast {
    interface Context {
      readonly apiRequest: ApiRequest;
    }
  }
}

type Input = Readonly<Record<string, string>>;

/** Each ends its own transaction: before a password is looked at, failures are counted for good. */
export const signInMutations: ReadonlySet<string> = new Set([
  ...["login", "refresh", "changePassword", "changeEmail", "resetPassword"],
  "acceptInvitation",
  ...["enrolSecondFactor", "confirmSecondFactor", "removeSecondFactor"],
  ...["startCookieSession", "refreshCookieSession", "endCookieSession"],
]);

/** Mutations about passwords, which are hashed here and never sent to the database. */
export function signInPlugin(parts: SignInParts, keys: SigningKeys): GraphileConfig.Plugin {
  const own = ownAccount(parts);
  const cookieSession = cookieSessions(parts, keys);
  const changed = async (change: Promise<void>) => {
    await change;
    return { changed: true };
  };
  return extendSchema({
    typeDefs: gql`
      input LoginInput {
        """The name of the tenant."""
        tenant: String!
        email: String!
        password: String!
        """The one-time code, for users with a second factor."""
        code: String
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

      """A session whose tokens are cookies that scripts cannot read."""
      type CookieSession {
        """Until then requests are answered; refresh the session before."""
        accessTokenExpiresAt: Datetime!
        refreshTokenExpiresAt: Datetime!
        """When the session ends, however often it is refreshed."""
        sessionExpiresAt: Datetime!
      }

      input ChangePasswordInput {
        currentPassword: String!
        newPassword: String!
      }

      input ChangeEmailInput {
        currentPassword: String!
        newEmail: String!
      }

      input ResetPasswordInput {
        userId: UUID!
        newPassword: String!
      }

      input EnrolSecondFactorInput {
        currentPassword: String!
      }

      input SecondFactorCodeInput {
        currentPassword: String!
        """A code of the authenticator app."""
        code: String!
      }

      type SecondFactorEnrolment {
        """For an authenticator app; shown this once."""
        otpauthUri: String!
      }

      input AcceptInvitationInput {
        """The token of the link."""
        token: String!
        newPassword: String!
      }

      """Whom an invitation was for, and what to sign in by."""
      type AcceptedInvitation {
        tenant: String!
        email: String!
        """The sign-in asks for a one-time code; a first one hands out its secret."""
        requiresSecondFactor: Boolean!
      }

      type AccountChange {
        changed: Boolean!
      }

      extend type Mutation {
        """
        Starts a session by tenant, email and password, and a one-time code where the user has a
        second factor.
        """
        login(input: LoginInput!): SessionTokens
        """Continues a session: new tokens for the refresh token."""
        refresh(input: RefreshInput!): SessionTokens
        """
        As login, for a page of the API's own origin: the tokens become cookies. Each request of
        such a session has the header X-Cookie-Session: use, and those that start or refresh one
        X-Cookie-Session: begin.
        """
        startCookieSession(input: LoginInput!): CookieSession
        """Continues the session of the cookies."""
        refreshCookieSession: CookieSession
        """
        Ends the session of the cookies, and removes them. With X-Cookie-Session: begin it does so
        when the access token has ended, too.
        """
        endCookieSession: AccountChange
        """Sets the password of an invited user, by the token of the link, which works once."""
        acceptInvitation(input: AcceptInvitationInput!): AcceptedInvitation
        """Changes your password and ends your other sessions."""
        changePassword(input: ChangePasswordInput!): AccountChange
        """Changes your address and ends your other sessions. Needs tenant:update."""
        changeEmail(input: ChangeEmailInput!): AccountChange
        """Gives another user of your tenant a new password and ends that user's sessions."""
        resetPassword(input: ResetPasswordInput!): AccountChange
        """Begins a second factor of yours: it counts once confirmSecondFactor has seen a code."""
        enrolSecondFactor(input: EnrolSecondFactorInput!): SecondFactorEnrolment
        """Confirms your second factor by a first code, and ends your other sessions."""
        confirmSecondFactor(input: SecondFactorCodeInput!): AccountChange
        """Removes your second factor by a code of it, and ends your other sessions."""
        removeSecondFactor(input: SecondFactorCodeInput!): AccountChange
      }
    `,
    objects: {
      Mutation: {
        plans: {
          login: acting<Credentials>(async (input, request) =>
            tokensFor(parts.sql, keys, await signIn(parts, input, request)),
          ),
          refresh: acting(async ({ refreshToken = "" }, request) =>
            tokensFor(parts.sql, keys, await refreshSession(parts.sql, refreshToken, request)),
          ),
          startCookieSession: acting<Credentials>((input, request) =>
            cookieSession.start(input, request),
          ),
          refreshCookieSession: () => actingAlone(cookieSession.refresh),
          endCookieSession: () => actingAlone((request) => changed(cookieSession.end(request))),
          changePassword: acting(({ currentPassword = "", newPassword = "" }, request) =>
            changed(own.changePassword(currentPassword, newPassword, request)),
          ),
          changeEmail: acting(({ currentPassword = "", newEmail = "" }, request) =>
            changed(own.changeEmail(currentPassword, newEmail, request)),
          ),
          acceptInvitation: acting(({ token = "", newPassword = "" }, request) =>
            acceptInvitation(parts, token, newPassword, request),
          ),
          resetPassword: acting(({ userId = "", newPassword = "" }, request) =>
            changed(resetPassword(parts, userId, newPassword, request)),
          ),
          enrolSecondFactor: acting(async ({ currentPassword = "" }, request) => ({
            otpauthUri: await own.enrolSecondFactor(currentPassword, request),
          })),
          confirmSecondFactor: acting(({ currentPassword = "", code = "" }, request) =>
            changed(own.confirmSecondFactor(currentPassword, code, request)),
          ),
          removeSecondFactor: acting(({ currentPassword = "", code = "" }, request) =>
            changed(own.removeSecondFactor(currentPassword, code, request)),
          ),
        },
      },
    },
  });
}

/** The same of a mutation without input. */
function actingAlone(act: (request: ApiRequest) => Promise<object>) {
  return sideEffect(context().get("apiRequest"), act);
}

/** The plan of a mutation that this process carries out by itself. */
function acting<TInput = Input>(act: (input: TInput, request: ApiRequest) => Promise<object>) {
  return (_: unknown, fieldArgs: FieldArgs) =>
    sideEffect(
      [fieldArgs.getRaw("input"), context().get("apiRequest")] as const,
      ([input, request]) => act(input as TInput, request),
    );
}
