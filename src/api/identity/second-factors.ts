import { hkdfSync, randomBytes } from "node:crypto";
import { Secret, TOTP } from "otpauth";
import type { ApiRequest } from "../request.ts";
import { seal, unseal } from "../sealed.ts";
import type { SigningKeys } from "./signing-keys.ts";

/** One-time codes by time (RFC 6238), of secrets that the database holds encrypted. */
export interface SecondFactors {
  /** A new secret, encrypted for the database, and the URI that an authenticator app reads. */
  enrol(account: string): { readonly encrypted: Uint8Array; readonly uri: string };
  /** The time step of a right code, undefined for any other. */
  stepOf(encrypted: Uint8Array, code: string, now?: number): number | undefined;
}

const periodSeconds = 30;
const secretBytes = 20;
const issuer = "storage-qos";

/** The key of encryption comes of the signing keys: the first encrypts, all of them decrypt. */
export function secondFactors(keys: SigningKeys): SecondFactors {
  const ciphers = keys.map((key) =>
    Buffer.from(hkdfSync("sha256", key, "", "storage-qos second factor", 32)),
  );
  return {
    enrol(account) {
      const secret = randomBytes(secretBytes);
      const totp = totpOf(secret, account);
      return { encrypted: seal(secret, ciphers[0] as Buffer), uri: totp.toString() };
    },
    stepOf(encrypted, code, now = Date.now()) {
      const secret = unseal(encrypted, ciphers);
      if (secret === undefined) return undefined;
      const delta = totpOf(secret).validate({ token: code, timestamp: now, window: 1 });
      return delta === null ? undefined : Math.floor(now / 1000 / periodSeconds) + delta;
    },
  };
}

function totpOf(secret: Buffer, label = "user"): TOTP {
  const { buffer, byteOffset, byteLength } = secret;
  const bytes = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
  return new TOTP({ issuer, label, period: periodSeconds, secret: new Secret({ buffer: bytes }) });
}

/** What shares the turns of hashing: the address of the sender. */
export function sourceOf({ ipAddress }: ApiRequest): string {
  return ipAddress ?? "unknown";
}
