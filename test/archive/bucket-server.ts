import { createHash, createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { onTestFinished } from "vitest";

const keyId = "key-of-the-test";
const secret = "secret/of+the=test";
const region = "north-1";
const bucket = "archives";
const keysPerPage = 2;
const patienceSeconds = 15 * 60;

export interface BucketServer {
  /** What a worker's environment says of it. */
  readonly env: Readonly<Record<string, string>>;
  readonly place: string;
  readonly objects: Map<string, Buffer>;
  /** Requests that came with another signature than theirs. */
  readonly refused: string[];
  /** What becomes of the next puts. */
  puts: "kept" | "spoilt" | "never answered" | "failed";
  /** Puts that wait for an answer. */
  unanswered: number;
  /** How many requests are answered with 503 before one is served. */
  busyFor: number;
}

/**
 * A real web server on this machine that keeps objects as S3 does, as much of it as archives need:
 * put, get, and list in pages. It computes each request's signature (AWS Signature Version 4) by
 * itself and refuses any other.
 */
export async function startBucketServer(): Promise<BucketServer> {
  const server = createServer((request, response) => {
    serve(store, request, response).catch((error) => response.destroy(error));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const place = `s3://${bucket}/some/folder`;
  const store: BucketServer = {
    env: {
      QOS_ARCHIVE_FOLDER: place,
      AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${port}/`,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: keyId,
      AWS_SECRET_ACCESS_KEY: secret,
    },
    place,
    objects: new Map(),
    refused: [],
    puts: "kept",
    unanswered: 0,
    busyFor: 0,
  };
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return store;
}

async function serve(
  store: BucketServer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await buffer(request);
  const url = new URL(request.url ?? "/", "http://bucket");
  if (store.busyFor > 0) {
    store.busyFor--;
    return fail(response, 503, "SlowDown");
  }
  const problem = signatureProblem(request, url, body);
  if (problem !== undefined) {
    store.refused.push(problem);
    return fail(response, 403, problem);
  }
  answer(store, request, url, body, response);
}

function answer(
  store: BucketServer,
  { method, headers }: IncomingMessage,
  { pathname, searchParams }: URL,
  body: Buffer,
  response: ServerResponse,
): void {
  const [, named, ...parts] = pathname.split("/");
  const key = parts.join("/");
  if (named !== bucket) fail(response, 404, "NoSuchBucket");
  else if (method === "PUT" && headers["content-length"]) put(store, key, body, response);
  else if (method === "PUT") fail(response, 411, "MissingContentLength");
  else if (searchParams.get("list-type") === "2") response.end(page(store, searchParams));
  else get(store, key, response);
}

function get({ objects }: BucketServer, key: string, response: ServerResponse): void {
  const found = objects.get(key);
  if (found === undefined) fail(response, 404, "NoSuchKey");
  else response.end(found);
}

function put(store: BucketServer, key: string, body: Buffer, response: ServerResponse): void {
  switch (store.puts) {
    case "never answered":
      store.unanswered++;
      return;
    case "failed":
      fail(response, 507, "InsufficientStorage");
      return;
    case "spoilt":
      body[body.length - 1] = (body.at(-1) ?? 0) ^ 1;
  }
  store.objects.set(key, body);
  response.end();
}

function page({ objects }: BucketServer, query: URLSearchParams): string {
  const prefix = query.get("prefix") ?? "";
  const after = query.get("continuation-token") ?? "";
  const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
  const shown = keys.slice(0, keysPerPage);
  const contents = shown.map((key) => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`);
  const next = keys.length > shown.length ? shown.at(-1) : undefined;
  return [
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>',
    ...contents,
    ...(next ? [`<NextContinuationToken>${next}</NextContinuationToken>`] : []),
    "</ListBucketResult>",
  ].join("");
}

function fail(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status).end(`<Error><Code>${code}</Code><Message>no</Message></Error>`);
}

/** As S3's manual tells it: the method, the path, the query, the signed headers, the body. */
function signatureProblem(
  { method, headers }: IncomingMessage,
  url: URL,
  body: Buffer,
): string | undefined {
  const told =
    /^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)$/.exec(
      headers.authorization ?? "",
    );
  const [, credential = "", signed = "", signature] = told ?? [];
  const moment = String(headers["x-amz-date"]);
  const day = moment.slice(0, 8);
  const scope = [day, region, "s3", "aws4_request"];
  if (credential !== [keyId, ...scope].join("/")) return "InvalidAccessKeyId";
  const iso = moment.replace(/^(....)(..)(..T..)(..)(..Z)$/, "$1-$2-$3:$4:$5");
  if (!(Math.abs(Date.now() - Date.parse(iso)) < patienceSeconds * 1000))
    return "RequestTimeTooSkewed";
  const bodyHash = createHash("sha256").update(body).digest("hex");
  if (headers["x-amz-content-sha256"] !== bodyHash) return "XAmzContentSHA256Mismatch";
  const names = signed.split(";");
  for (const name of ["host", "x-amz-content-sha256", "x-amz-date"]) {
    if (!names.includes(name)) return "AccessDenied";
  }
  const query = [...url.searchParams]
    .map((pair) => pair.map(encoded).join("="))
    .sort()
    .join("&");
  const canonical = [
    method,
    url.pathname.split("/").map(decodeURIComponent).map(encoded).join("/"),
    query,
    ...names.map((name) => `${name}:${String(headers[name]).trim()}`),
    "",
    signed,
    bodyHash,
  ].join("\n");
  const toSign = [
    "AWS4-HMAC-SHA256",
    moment,
    scope.join("/"),
    createHash("sha256").update(canonical).digest("hex"),
  ].join("\n");
  const key = scope.reduce<Buffer | string>((with_, part) => hmac(with_, part), `AWS4${secret}`);
  return hmac(key, toSign).toString("hex") === signature ? undefined : "SignatureDoesNotMatch";
}

const hmac = (key: Buffer | string, text: string) =>
  createHmac("sha256", key).update(text).digest();

const encoded = (text: string) =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
