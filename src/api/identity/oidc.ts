import { createRemoteJWKSet, decodeJwt, errors, type JWTPayload, jwtVerify } from "jose";
import type { OidcSettings } from "./oidc-settings.ts";

/** Signatures only: a shared secret has no place in a published key set. */
const algorithms = ["RS256", "PS256", "ES256", "EdDSA"];

const longestGroup = 255;
const mostGroups = 1_000;

export interface OidcClaims {
  readonly email: string;
  /** The name of the user's tenant. */
  readonly tenant: string;
  /** Seconds since 1970, as is expiresAt. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** Undefined where groups are not looked at. */
  readonly groups: readonly string[] | undefined;
}

export interface OidcVerifier {
  /** Whether the token names this provider as its issuer, unverified. */
  claims(token: string): boolean;
  /** Undefined for a token that the provider did not make for this API, or has expired. */
  verify(token: string): Promise<OidcClaims | undefined>;
}

export function oidcVerifier(settings: OidcSettings): OidcVerifier {
  const { issuer, audience, jwksUrl } = settings;
  const keys = createRemoteJWKSet(new URL(jwksUrl));
  return {
    claims: (token) => issuerOf(token) === issuer,
    async verify(token) {
      try {
        const { payload } = await jwtVerify(token, keys, {
          algorithms,
          issuer,
          audience,
          requiredClaims: ["exp", "iat", "email"],
        });
        return verifiedClaims(payload, settings);
      } catch (error) {
        if (error instanceof errors.JOSEError) return undefined;
        throw error;
      }
    },
  };
}

function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

/** An address that the provider has not verified may belong to another person. */
function verifiedClaims(
  payload: JWTPayload,
  { tenant, tenantClaim, groupsClaim }: OidcSettings,
): OidcClaims | undefined {
  const { email, email_verified: verified, exp, iat } = payload;
  if (typeof email !== "string" || verified !== true) return undefined;
  if (exp === undefined || iat === undefined) return undefined;
  const named = tenantClaim === undefined ? tenant : payload[tenantClaim];
  if (typeof named !== "string") return undefined;
  const groups = groupsClaim === undefined ? undefined : groupsOf(payload[groupsClaim]);
  return { email, tenant: named, issuedAt: iat, expiresAt: exp, groups };
}

/** Providers leave the claim out where there are none. */
function groupsOf(claim: unknown): string[] {
  const texts = [claim].flat().filter((each) => typeof each === "string");
  return texts.filter((each) => each.length <= longestGroup).slice(0, mostGroups);
}
