import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type AccessKey, hash, hmac, signingKey, stamp } from "./sign.ts";

/** A store that verifies signatures, and answers what S3 answers. */
export interface SigningStore {
  readonly port: number;
  /** What came through, in order: "signed", or the code of the error. */
  readonly verdicts: string[];
  /** Requests whose heads came through. */
  begun(): number;
  /** Answers with this from now on, whatever the signature: for HEAD too, as HEAD has no body. */
  answer(next: { status: number; body?: string } | undefined): void;
  /** Keeps each answer until the next call; undefined lets all of them go. */
  hold(until: Promise<void> | undefined): void;
  close(): Promise<void>;
}

export async function startSigningStore(keys: readonly AccessKey[]): Promise<SigningStore> {
  const secrets = new Map(keys.map(({ id, secret }) => [id, secret]));
  const verdicts: string[] = [];
  let begun = 0;
  let next: { status: number; body?: string } | undefined;
  let held: Promise<void> | undefined;
  const server = createServer(async (request, response) => {
    begun += 1;
    const body = await bodyOf(request).catch(() => "");
    const verdict = verdictOf(request, body, secrets);
    verdicts.push(verdict);
    await held;
    if (next) respond(request, response, next.status, next.body ?? "");
    else if (verdict === "signed") respond(request, response, 200, "ok");
    else respond(request, response, 403, errorOf(verdict));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    verdicts,
    begun: () => begun,
    answer(given) {
      next = given;
    },
    hold(until) {
      held = until;
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

export function errorOf(code: string, message = "see the code"): string {
  return `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;
}

function respond(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  body: string,
): void {
  response.writeHead(status, { "Content-Type": "application/xml" });
  response.end(request.method === "HEAD" ? undefined : body);
}

async function bodyOf(request: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString("latin1");
}

type Secrets = ReadonlyMap<string, string>;

function verdictOf(request: IncomingMessage, body: string, secrets: Secrets): string {
  const url = new URL(request.url ?? "", "http://store");
  const authorization = request.headers.authorization ?? "";
  if (/^\/public\//.test(url.pathname) && authorization === "") return "signed";
  if (authorization.startsWith("AWS4")) return version4(request, url, secrets);
  if (url.searchParams.has("X-Amz-Credential")) return presigned(request, url, secrets);
  if (authorization.startsWith("AWS ")) return version2(request, url, secrets);
  if (url.searchParams.has("AWSAccessKeyId")) return queryVersion2(url, secrets);
  if (request.headers["content-type"]?.startsWith("multipart/form-data")) {
    return form(body, secrets);
  }
  return "AccessDenied";
}

function compare(expected: string, given: string): string {
  return expected === given ? "signed" : "SignatureDoesNotMatch";
}

function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function canonicalQuery(url: URL): string {
  return [...url.searchParams]
    .filter(([name]) => name !== "X-Amz-Signature")
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&");
}

function signatureOf(
  request: IncomingMessage,
  url: URL,
  secret: string,
  given: { scope: string; at: string; names: string; payload: string },
): string {
  const lines = given.names
    .split(";")
    .map((name) => `${name}:${String(request.headers[name] ?? "").trim()}\n`);
  const path = decodeURIComponent(url.pathname).split("/").map(encode).join("/");
  const canonical = [
    ...[request.method, path, canonicalQuery(url), lines.join("")],
    ...[given.names, given.payload],
  ].join("\n");
  const text = ["AWS4-HMAC-SHA256", given.at, given.scope, hash(canonical)].join("\n");
  return hmac(signingKey(secret, given.scope), text).toString("hex");
}

function version4(request: IncomingMessage, url: URL, secrets: Secrets): string {
  const [, id = "", scope = "", names = "", signature = ""] =
    /Credential=(.+)\/(\d{8}\/[^/]+\/[^/]+\/aws4_request), ?SignedHeaders=(.+?), ?Signature=(\w+)/.exec(
      request.headers.authorization ?? "",
    ) ?? [];
  const secret = secrets.get(id);
  if (secret === undefined) return "InvalidAccessKeyId";
  const at = String(request.headers["x-amz-date"]);
  const payload = String(request.headers["x-amz-content-sha256"] ?? "UNSIGNED-PAYLOAD");
  return compare(signatureOf(request, url, secret, { scope, at, names, payload }), signature);
}

function presigned(request: IncomingMessage, url: URL, secrets: Secrets): string {
  const of = (name: string) => url.searchParams.get(`X-Amz-${name}`) ?? "";
  const [, id = "", scope = ""] =
    /^(.+)\/(\d{8}\/[^/]+\/[^/]+\/aws4_request)$/.exec(of("Credential")) ?? [];
  const secret = secrets.get(id);
  if (secret === undefined) return "InvalidAccessKeyId";
  const given = {
    ...{ scope, at: of("Date"), names: of("SignedHeaders") },
    payload: "UNSIGNED-PAYLOAD",
  };
  const isOver = stamp(new Date(Date.now() - Number(of("Expires")) * 1000)) > given.at;
  return isOver
    ? "ExpiredToken"
    : compare(signatureOf(request, url, secret, given), of("Signature"));
}

const base64Hmac = (secret: string, text: string) =>
  createHmac("sha1", secret).update(text).digest("base64");

function version2(request: IncomingMessage, url: URL, secrets: Secrets): string {
  const [, id = "", signature = ""] =
    /^AWS (.+):([^:]+)$/.exec(request.headers.authorization ?? "") ?? [];
  const secret = secrets.get(id);
  if (secret === undefined) return "InvalidAccessKeyId";
  const text = `${request.method}\n\n\n${request.headers.date}\n${url.pathname}`;
  return compare(base64Hmac(secret, text), signature);
}

function queryVersion2(url: URL, secrets: Secrets): string {
  const of = (name: string) => url.searchParams.get(name) ?? "";
  const secret = secrets.get(of("AWSAccessKeyId"));
  if (secret === undefined) return "InvalidAccessKeyId";
  return compare(base64Hmac(secret, `GET\n\n\n${of("Expires")}\n${url.pathname}`), of("Signature"));
}

function form(body: string, secrets: Secrets): string {
  const of = (name: string) =>
    new RegExp(`name="${name}"\r\n\r\n([^\r]*)\r\n`, "i").exec(body)?.[1] ?? "";
  const [, id = of("AWSAccessKeyId"), scope = ""] =
    /^(.+)\/(\d{8}\/[^/]+\/[^/]+\/aws4_request)$/.exec(of("X-Amz-Credential")) ?? [];
  const secret = secrets.get(id);
  if (secret === undefined) return "InvalidAccessKeyId";
  if (scope === "") return compare(base64Hmac(secret, of("Policy")), of("Signature"));
  const expected = hmac(signingKey(secret, scope), of("Policy")).toString("hex");
  return compare(expected, of("X-Amz-Signature"));
}
