import { createHash, createHmac } from "node:crypto";
import { AwsClient } from "aws4fetch";

/** An access key as a store issues it. */
export interface AccessKey {
  readonly id: string;
  readonly secret: string;
  readonly token?: string;
}

const region = "us-east-1";

function client({ id, secret, token }: AccessKey): AwsClient {
  return new AwsClient({
    ...{ accessKeyId: id, secretAccessKey: secret, service: "s3", region, retries: 0 },
    ...(token === undefined ? {} : { sessionToken: token }),
  });
}

interface Wanted extends RequestInit {
  /** When it says it was signed. */
  readonly at?: Date;
}

/** Signed in its header by an S3 client. */
export async function signed(
  key: AccessKey,
  url: string,
  { at, ...init }: Wanted = {},
): Promise<Request> {
  return client(key).sign(url, { ...init, aws: at === undefined ? {} : { datetime: stamp(at) } });
}

/**
 * Headers that sign a GET; `canonical`: its path and its query as the standard has them; `others`:
 * names and values of headers that are signed as well, each as often as it is there.
 */
export function signedByHand(
  { id, secret }: AccessKey,
  canonical: string,
  host: string,
  others: readonly (readonly [string, string])[] = [],
) {
  const at = stamp(new Date());
  const scope = `${at.slice(0, 8)}/${region}/s3/aws4_request`;
  const covered = [["host", host], ["x-amz-date", at], ...others];
  const names = covered.map(([name]) => name).join(";");
  const lines = covered.map(([name, value]) => `${name}:${value}\n`).join("");
  const request = ["GET", canonical, lines, names, "UNSIGNED-PAYLOAD"].join("\n");
  const text = ["AWS4-HMAC-SHA256", at, scope, hash(request)].join("\n");
  const signature = hmac(signingKey(secret, scope), text).toString("hex");
  return {
    ...Object.fromEntries(others),
    "X-Amz-Date": at,
    Authorization: `AWS4-HMAC-SHA256 Credential=${id}/${scope},SignedHeaders=${names},Signature=${signature}`,
  };
}

/** A presigned URL, made by an S3 client. */
export async function presigned(
  key: AccessKey,
  url: string,
  { seconds = 3600, at = new Date(), method = "GET" } = {},
): Promise<string> {
  const target = new URL(url);
  target.searchParams.set("X-Amz-Expires", String(seconds));
  const request = await client(key).sign(target.href, {
    method,
    aws: { signQuery: true, datetime: stamp(at) },
  });
  return request.url;
}

/** Version 2, in the header. */
export function signedVersion2(key: AccessKey, method: string, path: string) {
  const date = new Date().toUTCString();
  const signature = createHmac("sha1", key.secret)
    .update(`${method}\n\n\n${date}\n${path}`)
    .digest("base64");
  return { Date: date, Authorization: `AWS ${key.id}:${signature}` };
}

/** Version 2, in the query. */
export function presignedVersion2(key: AccessKey, url: string): string {
  const target = new URL(url);
  const expires = String(Math.floor(Date.now() / 1000) + 600);
  const signature = createHmac("sha1", key.secret)
    .update(`GET\n\n\n${expires}\n${target.pathname}`)
    .digest("base64");
  target.searchParams.set("AWSAccessKeyId", key.id);
  target.searchParams.set("Expires", expires);
  target.searchParams.set("Signature", signature);
  return target.href;
}

/** An upload in chunks, each with a signature that follows from the one before. */
export async function chunked(key: AccessKey, url: string, chunks: readonly string[]) {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const request = await client(key).sign(url, {
    method: "PUT",
    headers: {
      "X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
      "X-Amz-Decoded-Content-Length": String(length),
      "Content-Encoding": "aws-chunked",
    },
    aws: { allHeaders: true },
  });
  const at = request.headers.get("x-amz-date") ?? "";
  let previous = /Signature=(\w+)/.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  const scope = `${at.slice(0, 8)}/${region}/s3/aws4_request`;
  const body = [...chunks, ""].map((chunk) => {
    const text = ["AWS4-HMAC-SHA256-PAYLOAD", at, scope, previous, hash(""), hash(chunk)];
    previous = hmac(signingKey(key.secret, scope), text.join("\n")).toString("hex");
    return `${chunk.length.toString(16)};chunk-signature=${previous}\r\n${chunk}\r\n`;
  });
  return { headers: request.headers, body: body.join("") };
}

/** A form that uploads `content`; its policy ends at `endsAt`. */
export function uploadForm(
  key: AccessKey,
  content: string,
  { endsAt = new Date(Date.now() + 600_000), isVersion2 = false } = {},
): FormData {
  const policy = Buffer.from(
    JSON.stringify({ expiration: endsAt.toISOString(), conditions: [] }),
  ).toString("base64");
  const form = new FormData();
  form.set("key", "object");
  form.set("Policy", policy);
  if (isVersion2) {
    form.set("AWSAccessKeyId", key.id);
    form.set("Signature", createHmac("sha1", key.secret).update(policy).digest("base64"));
  } else {
    const scope = `${stamp(new Date()).slice(0, 8)}/${region}/s3/aws4_request`;
    form.set("X-Amz-Credential", `${key.id}/${scope}`);
    form.set("X-Amz-Algorithm", "AWS4-HMAC-SHA256");
    form.set("X-Amz-Date", stamp(new Date()));
    form.set("X-Amz-Signature", hmac(signingKey(key.secret, scope), policy).toString("hex"));
  }
  form.set("file", new Blob([content]), "object");
  return form;
}

export function stamp(at: Date): string {
  return at.toISOString().replaceAll(/[-:]|\.\d+/g, "");
}

export function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

export function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

export function signingKey(secret: string, scope: string): Buffer {
  return scope.split("/").reduce<string | Buffer>(hmac, `AWS4${secret}`) as Buffer;
}
