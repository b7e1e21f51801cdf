import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { extname, join, relative, sep } from "node:path";
import { logFor } from "../../log.ts";
import { ApiError } from "../api-error.ts";
import { builtConsole } from "./build-console.ts";

const log = logFor("api");

export interface ConsoleFiles {
  /** False where nothing is meant by the path. */
  answer(path: string, message: IncomingMessage, response: ServerResponse): Promise<boolean>;
}

type Encoding = "br" | "gzip" | "identity";

interface ServedFile {
  readonly type: string;
  readonly etag: string;
  /** Its name changes with its content. */
  readonly isFixed: boolean;
  readonly content: Readonly<Record<Encoding, Buffer>>;
}

/** The page may run and load its own files, and nothing else. */
const policy = [
  "default-src 'none'",
  ...["script-src 'self'", "style-src 'self'", "img-src 'self'", "font-src 'self'"],
  ...["connect-src 'self'", "manifest-src 'self'", "base-uri 'none'", "form-action 'none'"],
  ...["frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"],
].join("; ");

const types: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

const page = "/index.html";

/** A build that failed takes seconds of a core, and any visitor asks for one. */
const betweenBuildsMs = 60_000;

export function consoleFiles(build: () => Promise<string> = builtConsole): ConsoleFiles {
  let loading: Promise<ReadonlyMap<string, ServedFile>> | undefined;

  /** Once, and again a minute after it failed. */
  function files(): Promise<ReadonlyMap<string, ServedFile>> {
    loading ??= build()
      .then(readFiles)
      .catch((err: Error) => {
        setTimeout(() => {
          loading = undefined;
        }, betweenBuildsMs).unref();
        log.error({ err }, "console not built");
        const hint = "The log says why. The API itself answers at /graphql.";
        throw new ApiError("QS503", "console is not built", hint);
      });
    return loading;
  }

  return {
    async answer(path, message, response) {
      if (!isFile(path) && !readsPages(message)) return false;
      const file = (await files()).get(isFile(path) ? path : page);
      if (file === undefined) return false;
      send(file, message, response);
      return true;
    },
  };
}

/** Pages of the console have no dot in the last part of their path. */
function isFile(path: string): boolean {
  return path.startsWith("/assets/") || extname(path) !== "";
}

function readsPages({ headers }: IncomingMessage): boolean {
  return headers.accept?.includes("text/html") ?? false;
}

function send(file: ServedFile, { method, headers }: IncomingMessage, response: ServerResponse) {
  const encoding = encodingFor(headers["accept-encoding"]);
  response.setHeader("Content-Security-Policy", policy);
  response.setHeader(
    "Cache-Control",
    file.isFixed ? "public, max-age=31536000, immutable" : "no-cache",
  );
  response.setHeader("ETag", file.etag);
  response.setHeader("Vary", "Accept-Encoding");
  if (headers["if-none-match"] === file.etag) {
    response.writeHead(304).end();
    return;
  }
  const body = file.content[encoding];
  response.writeHead(200, {
    ...{ "Content-Type": file.type, "Content-Length": body.length },
    ...(encoding !== "identity" && { "Content-Encoding": encoding }),
  });
  response.end(method === "HEAD" ? undefined : body);
}

function encodingFor(accepted: string | string[] = ""): Encoding {
  const names = String(accepted)
    .split(",")
    .filter((part) => !/;\s*q=0(\.0*)?\s*$/.test(part))
    .map((part) => part.split(";", 1)[0]?.trim());
  return (["br", "gzip"] as const).find((name) => names.includes(name)) ?? "identity";
}

/** All of it is less than a megabyte. */
async function readFiles(folder: string): Promise<ReadonlyMap<string, ServedFile>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile() && !/\.(br|gz)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  const files = await Promise.all(
    names.map(async (name) => {
      const path = `/${relative(folder, name).split(sep).join("/")}`;
      return [path, await readServed(name, path)] as const;
    }),
  );
  return new Map(files);
}

async function readServed(file: string, path: string): Promise<ServedFile> {
  const [identity, br, gzip] = await Promise.all([
    readFile(file),
    readFile(`${file}.br`),
    readFile(`${file}.gz`),
  ]);
  return {
    type: types[extname(file)] ?? "application/octet-stream",
    etag: `"${createHash("sha256").update(identity).digest("base64url").slice(0, 22)}"`,
    isFixed: path.startsWith("/assets/"),
    content: { identity, br, gzip },
  };
}
