import { createRemoteJWKSet, decodeJwt, errors, type JWTPayload, jwtVerify } from "jose";
import type { OidcSettings } from "../settings.ts";

/** Signatures only: a shared secret has no place in a published key set. */
const algorithms = ["RS256", "PS256", "ES256", "EdDSA"];

export interface OidcClaims {
  readonly email: string;
  /** The name of the user's tenant, where the settings say which or by what claim. */
  readonly tenant: string | undefined;
  readonly expiresAt: number;
}

export interface OidcVerifier {
  /** Whether the token says that it comes from this provider. Proves nothing. */
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
          requiredClaims: ["exp", "email"],
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

/** An address that the provider has not verified could be anybody's. */
function verifiedClaims(
  payload: JWTPayload,
  { tenant, tenantClaim }: OidcSettings,
): OidcClaims | undefined {
  const { email, email_verified: verified, exp } = payload;
  if (typeof email !== "string" || verified !== true || exp === undefined) return undefined;
  if (tenantClaim === undefined) return { email, tenant, expiresAt: exp };
  const named = payload[tenantClaim];
  return typeof named === "string" ? { email, tenant: named, expiresAt: exp } : undefined;
}
