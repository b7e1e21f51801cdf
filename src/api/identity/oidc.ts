import { createRemoteJWKSet, decodeJwt, errors, type JWTPayload, jwtVerify } from "jose";
import type { OidcSettings } from "../settings.ts";

/** Signatures only: a shared secret has no place in a published key set. */
const algorithms = ["RS256", "PS256", "ES256", "EdDSA"];

export interface OidcClaims {
  readonly email: string;
  readonly expiresAt: number;
}

export interface OidcVerifier {
  /** Whether the token says that it comes from this provider. Proves nothing. */
  claims(token: string): boolean;
  /** Undefined for a token that the provider did not make for this API, or has expired. */
  verify(token: string): Promise<OidcClaims | undefined>;
}

export function oidcVerifier({ issuer, audience, jwksUrl }: OidcSettings): OidcVerifier {
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
        return verifiedClaims(payload);
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
function verifiedClaims(payload: JWTPayload): OidcClaims | undefined {
  const { email, email_verified: verified, exp } = payload;
  if (typeof email !== "string" || verified !== true || exp === undefined) return undefined;
  return { email, expiresAt: exp };
}
