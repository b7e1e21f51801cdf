import { openAsBlob } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { AwsClient } from "aws4fetch";
import { orAborted } from "../or-aborted.ts";
import { UserError } from "../user-error.ts";
import type { BucketAccess } from "./bucket-access.ts";
import type { ArchiveStore } from "./store.ts";
import { newTempFile } from "./temp-file.ts";

/** Retries beside the first attempt; after them the job is retried. */
const retries = 3;
const emptySha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Archives in a bucket of S3, or of a store with its API. */
export function bucketStore(access: BucketAccess, signal?: AbortSignal): ArchiveStore {
  const { endpoint, bucket, prefix, ...credentials } = access;
  const client = new AwsClient({ ...credentials, service: "s3", retries });
  const root = `${endpoint}/${bucket}`;
  const keyOf = (name: string) => (prefix === "" ? name : `${prefix}/${name}`);

  async function ask(url: string, init: RequestInit, sha256 = emptySha256): Promise<Response> {
    const headers = { "x-amz-content-sha256": sha256 };
    const request = client.fetch(url, { ...init, headers, ...(signal && { signal }) });
    // The runtime can lose the tie between a signal and a request that waits for long.
    const answer = signal === undefined ? request : orAborted(request, signal);
    return answer.catch((cause) => {
      throw unreachable(url, "did not answer", cause);
    });
  }

  async function pageOf(token: string | undefined): Promise<Page> {
    const query = new URLSearchParams({ "list-type": "2", prefix: keyOf("") });
    if (token !== undefined) query.set("continuation-token", token);
    const url = `${root}?${query}`;
    const response = await ask(url, { method: "GET" });
    return parsePage(await (await accepted(response, url)).text());
  }

  return {
    locate: (name) => `s3://${bucket}/${keyOf(name)}`,
    until: (end) => bucketStore(access, end),
    tempFileFor: () => newTempFile(tmpdir(), "storage-qos-archive"),
    async put(name, tempFile, sha256) {
      const url = `${root}/${keyOf(name)}`;
      const response = await ask(url, { method: "PUT", body: await openAsBlob(tempFile) }, sha256);
      await (await accepted(response, url)).body?.cancel();
      await rm(tempFile, { force: true });
    },
    async read(name) {
      const url = `${root}/${keyOf(name)}`;
      const response = await ask(url, { method: "GET" });
      if (response.status === 404 && (await reasonOf(response)) === "NoSuchKey") return undefined;
      const { body } = await accepted(response, url);
      return body === null ? Readable.from([]) : Readable.fromWeb(body as ReadableStream);
    },
    async list() {
      const names: string[] = [];
      let token: string | undefined;
      do {
        const page = await pageOf(token);
        names.push(...page.keys.map((key) => key.slice(keyOf("").length)));
        token = page.next;
      } while (token !== undefined);
      return names.sort();
    },
  };
}

interface Page {
  readonly keys: readonly string[];
  readonly next: string | undefined;
}

/** Keys of this program, and tokens, contain no characters that XML escapes. */
function parsePage(xml: string): Page {
  const keys = [...xml.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key = ""]) => key);
  const next = /<NextContinuationToken>([^<]*)<\/NextContinuationToken>/.exec(xml)?.[1];
  return { keys, next };
}

async function accepted(response: Response, url: string): Promise<Response> {
  if (response.ok) return response;
  throw unreachable(url, `answered ${response.status} ${await reasonOf(response)}`.trim());
}

async function reasonOf(response: Response): Promise<string> {
  const text = await response.clone().text();
  return /<Code>([^<]*)<\/Code>/.exec(text)?.[1] ?? "";
}

function unreachable(url: string, what: string, cause?: unknown): UserError {
  const { origin, pathname } = new URL(url);
  return new UserError(
    "archive_unreachable",
    `${origin}${pathname} ${what}`,
    "Look at the bucket, at AWS_REGION and AWS_ENDPOINT_URL_S3, and at what the keys may do.",
    { cause },
  );
}
