/** Method, path and query of a request line such as `GET /a?b HTTP/1.1`. */
export function requestOf(line: string):
  | {
      readonly method: string;
      readonly path: string;
      readonly query: string | undefined;
    }
  | undefined {
  const [, method, target] = /^([A-Za-z][A-Za-z_-]*) (\S.*?)(?: HTTP\/[\d.]+)?$/.exec(line) ?? [];
  if (method === undefined || target === undefined) return undefined;
  return { method: method.toUpperCase(), ...targetOf(target) };
}

/** Path and query of a target; of an absolute one without scheme and host. */
export function targetOf(target: string): {
  readonly path: string;
  readonly query: string | undefined;
} {
  const relative = target.replace(/^[a-z][a-z\d+.-]*:\/\/[^/?]*/i, "");
  const at = relative.indexOf("?");
  if (at < 0) return { path: relative || "/", query: undefined };
  return { path: relative.slice(0, at) || "/", query: relative.slice(at + 1) };
}

/** The first part of a path, which names the bucket. */
export function bucketOf(path: string): string | undefined {
  return path.split("/")[1] || undefined;
}

/** The access key id that a signed query names. */
export function keyOfQuery(query: string | undefined): string | undefined {
  if (query === undefined) return undefined;
  const named = new URLSearchParams(query);
  return named.get("X-Amz-Credential")?.split("/")[0] ?? named.get("AWSAccessKeyId") ?? undefined;
}
