import type { IncomingMessage } from "node:http";

const token = "[\\w!#$%&'+.^`|~-]+";
const quality = "q=(?:0(?:\\.\\d{0,3})?|1(?:\\.0{0,3})?)";
const parameter = `(?:${quality}|(?!q=)${token}=(?:${token}|"[^"\\\\]*"))`;
const range = `(?:\\*/\\*|${token}/(?:\\*|${token}))[ \\t]*(?:;[ \\t]*${parameter})*`;
const list = new RegExp(`^[ \\t]*${range}(?:,[ \\t]*${range})*$`);

/**
 * An Accept header that is empty or malformed says nothing (RFC 9110, 12.5.1), and the library of
 * GraphQL fails at it.
 */
export function forgetMalformedAccept({ headers }: IncomingMessage): void {
  if (headers.accept !== undefined && !list.test(headers.accept)) delete headers.accept;
}
