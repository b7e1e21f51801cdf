import { errors, jwtVerify, SignJWT } from "jose";
import type { SigningKeys } from "./signing-keys.ts";

/** Pinned: a token that names another algorithm, or none, is refused. */
const algorithm = "HS256";
export const issuer = "storage-qos";
const audience = "storage-qos-admin-api";

/** Who sent a request, as its access token says. */
export interface Identity {
  readonly userId: string;
  /** What tells the user's tenant from others, for what tenants share. */
  readonly tenant: string;
  /** Of a sign-in here: an identity provider keeps sessions of its own, a program has none. */
  readonly sessionId?: string;
  /** The token of a service account. */
  readonly serviceTokenId?: string;
  /** Of tokens of an identity provider: seconds since 1970, as is expiresAt. */
  readonly issuedAt?: number;
  readonly expiresAt: number;
}

export async function signAccessToken(
  { userId, sessionId, expiresAt }: Pick<Required<Identity>, "userId" | "sessionId" | "expiresAt">,
  keys: SigningKeys,
): Promise<string> {
  return new SignJWT({ sid: sessionId })
    .setProtectedHeader({ alg: algorithm, typ: "JWT" })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject(userId)
    .setIssuedAt()
    .setExpirationTime(expiresAt)
    .sign(keys[0]);
}

/** What a token of ours says. */
export type AccessClaims = Omit<Identity, "tenant" | "issuedAt" | "serviceTokenId">;

/** Undefined for a token that is not ours, was changed, or has expired. */
export async function verifyAccessToken(
  token: string,
  keys: SigningKeys,
): Promise<AccessClaims | undefined> {
  for (const key of keys) {
    const identity = await verifyWith(token, key);
    if (identity !== undefined) return identity;
  }
  return undefined;
}

async function verifyWith(token: string, key: Uint8Array): Promise<AccessClaims | undefined> {
  try {
    const { payload } = await jwtVerify<{ sid: string }>(token, key, {
      algorithms: [algorithm],
      issuer,
      audience,
      requiredClaims: ["sub", "sid", "exp"],
    });
    return { userId: payload.sub ?? "", sessionId: payload.sid, expiresAt: payload.exp ?? 0 };
  } catch (error) {
    if (error instanceof errors.JOSEError) return undefined;
    throw error;
  }
}
