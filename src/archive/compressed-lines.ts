import { createHash, type Hash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { countRecords, type RecordCount } from "./count-records.ts";

/** What a file of compressed lines holds, as it was written or as it was read back. */
export interface Contents {
  /** Records, the line with the columns' names not counted. */
  readonly rows: number;
  readonly bytes: number;
  /** Of the file. */
  readonly sha256: string;
  /** Of what is in it. */
  readonly content_sha256: string;
}

/** Writes lines to a file of this machine, and on to its disk. */
export async function writeCompressed(
  path: string,
  lines: AsyncIterable<string>,
): Promise<Contents> {
  const content = watcher();
  const file = watcher();
  await pipeline(
    lines,
    content.stream,
    createGzip(),
    file.stream,
    createWriteStream(path, { mode: 0o600, flush: true }),
  );
  return contentsOf(content, file);
}

export async function readCompressed(source: Readable): Promise<Contents> {
  const content = watcher();
  const file = watcher();
  await pipeline(
    source,
    file.stream,
    createGunzip(),
    content.stream,
    async (chunks: AsyncIterable<Buffer>) => {
      for await (const _ of chunks);
    },
  );
  return contentsOf(content, file);
}

interface Watcher {
  readonly stream: Transform;
  readonly hash: Hash;
  readonly records: RecordCount;
  bytes: number;
}

/** Passes data through, and counts and hashes it. */
function watcher(): Watcher {
  const watched: Watcher = {
    hash: createHash("sha256"),
    records: countRecords(),
    bytes: 0,
    stream: new Transform({
      transform(chunk: Buffer, _encoding, done) {
        watched.hash.update(chunk);
        watched.records.add(chunk);
        watched.bytes += chunk.length;
        done(null, chunk);
      },
    }),
  };
  return watched;
}

function contentsOf(content: Watcher, file: Watcher): Contents {
  return {
    rows: Math.max(content.records.count() - 1, 0),
    bytes: file.bytes,
    sha256: file.hash.digest("hex"),
    content_sha256: content.hash.digest("hex"),
  };
}
