/** The end of bigint. */
export const largestSize = 9_223_372_036_854_775_807n;

/** A count of bytes as logs write it: digits, or a dash for none. Undefined for all else. */
export function bytesOf(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  if (text === "-" || text === "") return 0n;
  if (!/^\d{1,19}$/.test(text)) return undefined;
  const bytes = BigInt(text);
  return bytes <= largestSize ? bytes : undefined;
}
