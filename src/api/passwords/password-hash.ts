import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";

/** Cost of new hashes: scrypt with N of two to this power. */
export type HashCost = number;

interface Parameters {
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

const blockSize = 8;
const parallelization = 3;
const saltBytes = 16;
const hashBytes = 32;
const phc = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([\w+/]{22})\$([\w+/]{43})$/;

/** A PHC string, computed in the thread pool. */
export async function hashPassword(password: string, cost: HashCost): Promise<string> {
  const parameters = { ln: cost, r: blockSize, p: parallelization };
  const salt = randomBytes(saltBytes);
  const hash = await derive(password, salt, parameters);
  return `$scrypt$ln=${cost},r=${blockSize},p=${parallelization}$${base64(salt)}$${base64(hash)}`;
}

/**
 * Whether this is the password of the hash. Without a hash, as for an account that does not exist,
 * it takes as long and answers false.
 */
export async function verifyPassword(
  password: string,
  hash: string | null,
  cost: HashCost,
): Promise<boolean> {
  const known = hash === null ? undefined : parts(hash);
  if (known === undefined) {
    await hashPassword(password, cost);
    return false;
  }
  return timingSafeEqual(await derive(password, known.salt, known.parameters), known.hash);
}

function parts(text: string) {
  const [, ln, r, p, salt = "", hash = ""] = phc.exec(text) ?? [];
  if (ln === undefined) return undefined;
  return {
    parameters: { ln: Number(ln), r: Number(r), p: Number(p) },
    salt: Buffer.from(salt, "base64"),
    hash: Buffer.from(hash, "base64"),
  };
}

function derive(password: string, salt: Buffer, { ln, r, p }: Parameters): Promise<Buffer> {
  const options: ScryptOptions = { N: 2 ** ln, r, p, maxmem: 2 ** ln * r * 128 + 2 ** 20 };
  return new Promise((resolve, reject) => {
    scrypt(password.normalize("NFC"), salt, hashBytes, options, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}

/** As PHC strings have it: without padding. */
function base64(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll("=", "");
}
