import fc from "fast-check";

/** How often a property is tried: a little in each run of the tests, and more in .ci/full. */
export const tries = (few: number) => ({ numRuns: process.env.QOS_TEST_FULL ? 25 * few : few });

export const hostileText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom("", " ", "'; drop table x; --", "%s%n", "\0", "\u202e", "\ud800", "{", "[]"),
  fc.constantFrom("a".repeat(300), "é".repeat(9_000), "__proto__", "constructor", "toString"),
);

/** One byte a character, as they come over a wire. */
const bytes = fc
  .uint8Array({ maxLength: 60 })
  .map((array) => Buffer.from(array).toString("latin1"));

const line = bytes.map((text) => text.replaceAll(/[\r\n]/g, ""));

interface HttpParts {
  readonly targets: readonly string[];
  readonly headers: readonly string[];
  readonly bodies: readonly string[];
}

/** Requests near to those that a server knows, and far from them. */
export function hostileRequest({ targets, headers, bodies }: HttpParts): fc.Arbitrary<string> {
  const target = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...targets) },
    fc.tuple(fc.constantFrom(...targets), line).map(([known, text]) => `${known}${text}`),
    fc.constantFrom("*", "//", "/..", "/%00", "/%", "http://[::1", "x:y", `/${"a".repeat(9_000)}`),
  );
  const header = fc.oneof(
    fc.constantFrom(...headers),
    fc.tuple(fc.constantFrom(...headers), line).map(([known, text]) => `${known}${text}`),
    line,
    fc.constantFrom(
      "Content-Length: -1",
      "Content-Length: 99999999999999999999",
      "Transfer-Encoding: chunked",
      "Transfer-Encoding: x",
      "Expect: 100-continue",
      "Upgrade: websocket",
      "Connection: upgrade",
      "Range: bytes=9-1,-",
      `X-Long: ${"x".repeat(20_000)}`,
    ),
  );
  const body = fc.oneof(fc.constantFrom("", ...bodies), bytes, fc.json());
  const method = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE") },
    fc.constantFrom("TRACE", "CONNECT", "PATCH", "get", "G\0T", ""),
  );
  return fc
    .tuple(method, target, fc.array(header, { maxLength: 4 }), body)
    .map(([verb, path, lines, text]) => {
      const head = [
        `${verb} ${path} HTTP/1.1`,
        "Host: here",
        "Connection: close",
        `Content-Length: ${Buffer.byteLength(text, "latin1")}`,
        ...lines,
      ];
      return `${head.join("\r\n")}\r\n\r\n${text}`;
    });
}
