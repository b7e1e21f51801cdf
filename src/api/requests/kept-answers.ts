import { createHash, hkdfSync } from "node:crypto";
import type pg from "pg";
import type { SigningKeys } from "../identity/signing-keys.ts";
import { seal, unseal } from "../sealed.ts";

/** Answers of changes that were sent with an idempotency key. */
export interface KeptAnswers {
  /** What was answered before, or undefined where the transaction has the key from now on. */
  claim(client: pg.ClientBase, claim: Claim): Promise<string | undefined>;
  keep(client: pg.ClientBase, claim: Claim, answer: string): Promise<void>;
}

export interface Claim {
  readonly userId: string;
  readonly key: string;
  /** What was asked for: a key is of one request. */
  readonly request: string;
}

const sha256 = (text: string) => createHash("sha256").update(text).digest();

/**
 * Encrypted by keys that come of the signing keys and the idempotency key, of which the database has
 * the hash alone: answers have secrets that are shown once.
 */
export function keptAnswers(signingKeys: SigningKeys): KeptAnswers {
  const keysOf = ({ userId, key }: Claim) =>
    signingKeys.map((signingKey) =>
      Buffer.from(hkdfSync("sha256", signingKey, key, `storage-qos answer ${userId}`, 32)),
    );
  return {
    async claim(client, claim) {
      const { rows } = await client.query<{ is_new: boolean; answer: Buffer | null }>(
        "select is_new, answer from rate_limiter_private.claim_request($1, $2, $3)",
        [claim.userId, sha256(claim.key), sha256(claim.request)],
      );
      const [found] = rows;
      if (found === undefined || found.is_new) return undefined;
      const answer = found.answer && unseal(found.answer, keysOf(claim));
      // The change was made; what it answered went with its signing key.
      return answer?.toString() ?? JSON.stringify({ data: null });
    },
    async keep(client, claim, answer) {
      await client.query("select rate_limiter_private.keep_answer($1, $2, $3)", [
        claim.userId,
        sha256(claim.key),
        seal(Buffer.from(answer), keysOf(claim)[0] as Buffer),
      ]);
    },
  };
}
