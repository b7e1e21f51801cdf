import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { InputError } from "../user-error.ts";

export interface Line {
  readonly number: number;
  readonly text: string;
}

const longestLine = 1_048_576;
const lineFeed = 0x0a;
const gzipMark = Buffer.from([0x1f, 0x8b]);

/**
 * The lines of a file, or of standard input for `-`, plain or gzip (told by the content, not by the
 * name), one at a time.
 * Bytes are read as Latin-1: all that a trace says is ASCII, and a log may hold anything else.
 */
export async function* linesOf(path: string): AsyncGenerator<Line> {
  try {
    yield* split(await content(path));
  } catch (error) {
    throw asInputError(error, path);
  }
}

async function content(path: string): Promise<AsyncIterable<Buffer>> {
  const chunks: AsyncIterator<Buffer> = (path === "-" ? process.stdin : createReadStream(path))[
    Symbol.asyncIterator
  ]();
  let head = Buffer.alloc(0);
  while (head.length < gzipMark.length) {
    const { value, done } = await chunks.next();
    if (done === true) break;
    head = Buffer.concat([head, value]);
  }
  const whole = Readable.from(joined(head, chunks), { objectMode: false });
  if (!head.subarray(0, gzipMark.length).equals(gzipMark)) return whole;
  const unzip = createGunzip();
  // The reader of `unzip` meets the error; here it must only not go unhandled.
  pipeline(whole, unzip).catch(() => undefined);
  return unzip;
}

async function* joined(head: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (head.length > 0) yield head;
  yield* { [Symbol.asyncIterator]: () => rest };
}

async function* split(chunks: AsyncIterable<Buffer>): AsyncGenerator<Line> {
  let number = 0;
  let rest = "";
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      number += 1;
      yield { number, text: tidy(rest + chunk.toString("latin1", start, end)) };
      rest = "";
      start = end + 1;
    }
    rest += chunk.toString("latin1", start);
    if (rest.length > longestLine) throw tooLong(number + 1);
  }
  if (rest !== "") yield { number: number + 1, text: tidy(rest) };
}

function tidy(text: string): string {
  return text.endsWith("\r") ? text.slice(0, -1) : text;
}

function tooLong(number: number): InputError {
  return new InputError(
    "trace_unrecognized",
    `line ${number} of the trace has no end within a megabyte`,
    "Give a text file: the CSV of a block trace or a log, plain or gzip.",
  );
}

function asInputError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || error instanceof InputError) return error;
  const code = "code" in error ? String(error.code) : "";
  if (code === "Z_BUF_ERROR") {
    return new InputError(
      "trace_truncated",
      `the gzip trace ${path} ends in the middle`,
      "Copy the file again: its end is missing.",
      { cause: error },
    );
  }
  if (code.startsWith("Z_")) {
    return new InputError(
      "trace_corrupt",
      `the gzip trace ${path} is damaged`,
      "Copy the file again and check it with gzip -t.",
      { cause: error },
    );
  }
  if (code === "") return error;
  return new InputError(
    "trace_unreadable",
    `the trace ${path} cannot be read (${code})`,
    "Check that the path names a file and that you may read it.",
    { cause: error },
  );
}
