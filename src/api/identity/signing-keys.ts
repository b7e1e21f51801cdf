import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { logFor } from "../../log.ts";
import { apiDeclaration } from "../../settings/api.ts";
import { readSettings } from "../../settings/read-settings.ts";
import { UserError } from "../../user-error.ts";

/** HS256 wants a key of at least as many bits as its hash. */
const leastBytes = 32;

/** Keys of access tokens. The first signs; all of them verify, so that a key can be replaced. */
export type SigningKeys = readonly [Uint8Array, ...Uint8Array[]];

/**
 * The keys of JWT_SECRETS (separated by commas) or JWT_SECRET; else one that is made once and kept
 * in the file; else, outside of production, one that lasts as long as the process.
 */
export function signingKeys(env: NodeJS.ProcessEnv, file?: string): SigningKeys {
  const { secrets, secret = "", nodeEnv } = readSettings(env, apiDeclaration);
  const [first, ...others] = (secrets ?? secret)
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "")
    .map(keyOf);
  if (first !== undefined) return [first, ...others];
  if (file !== undefined) return [keyOf(keptSecret(file))];
  if (nodeEnv !== "production") return [forThisProcess()];
  throw new UserError(
    "jwt_secret_missing",
    "JWT_SECRET is not set",
    "Set it to at least 32 random bytes, such as the output of: openssl rand -base64 48",
  );
}

function keyOf(secret: string): Uint8Array {
  const key = new TextEncoder().encode(secret);
  if (key.length >= leastBytes) return key;
  throw new UserError(
    "jwt_secret_short",
    `a secret of JWT_SECRETS or JWT_SECRET is shorter than ${leastBytes} bytes`,
    "Make one with: openssl rand -base64 48",
  );
}

/** Written under another name first, so that a full disk leaves no incomplete key. */
function keptSecret(file: string): string {
  if (!existsSync(file)) {
    const draft = `${file}.${process.pid}`;
    writeFileSync(draft, randomBytes(48).toString("base64url"), { mode: 0o600, flush: true });
    renameSync(draft, file);
  }
  return readFileSync(file, "utf8").trim();
}

function forThisProcess(): Uint8Array {
  logFor("api").warn("JWT_SECRET is not set: access tokens lapse when this process ends");
  return randomBytes(48);
}
