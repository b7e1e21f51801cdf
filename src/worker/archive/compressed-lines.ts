import { createHash, type Hash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { Transform } from "node:stream";
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

export interface Written extends Contents {
  readonly path: string;
}

/**
 * Writes lines to a file that has its name only when it is complete and on disk: whoever finds it
 * finds all of it, whatever happens to this process, the disk or the power. What is in it may
 * decide the name.
 */
export async function writeCompressed(
  draft: string,
  lines: AsyncIterable<string>,
  nameOf: (contents: Contents) => Promise<string>,
): Promise<Written> {
  const content = watcher();
  const file = watcher();
  try {
    await pipeline(
      lines,
      content.stream,
      createGzip(),
      file.stream,
      createWriteStream(draft, { mode: 0o600, flush: true }),
    );
    const contents = contentsOf(content, file);
    const path = await nameOf(contents);
    await rename(draft, path);
    await flushFolder(dirname(path));
    return { path, ...contents };
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {});
    throw error;
  }
}

export async function readCompressed(path: string): Promise<Contents> {
  const content = watcher();
  const file = watcher();
  await pipeline(
    createReadStream(path),
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

/** Lets everything pass and takes its measure. */
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

/** A name is on disk when its folder is. */
export async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
