import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

const nonceBytes = 12;
const tagBytes = 16;
const cipher = "aes-256-gcm";

/** Encrypts and authenticates, with a key of 32 bytes. */
export function seal(secret: Uint8Array, key: Uint8Array): Buffer {
  const nonce = randomBytes(nonceBytes);
  const encryption = createCipheriv(cipher, key, nonce);
  const text = Buffer.concat([encryption.update(secret), encryption.final()]);
  return Buffer.concat([nonce, encryption.getAuthTag(), text]);
}

/** Undefined where none of the keys is the one that it was encrypted with. */
export function unseal(sealed: Uint8Array, keys: readonly Uint8Array[]): Buffer | undefined {
  const encrypted = Buffer.from(sealed);
  for (const key of keys) {
    const decryption = createDecipheriv(cipher, key, encrypted.subarray(0, nonceBytes));
    decryption.setAuthTag(encrypted.subarray(nonceBytes, nonceBytes + tagBytes));
    try {
      const text = decryption.update(encrypted.subarray(nonceBytes + tagBytes));
      return Buffer.concat([text, decryption.final()]);
    } catch {
      // Another key's.
    }
  }
  return undefined;
}
