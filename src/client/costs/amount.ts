/**
 * Tokens are decimals with six digits; here they are whole millionths, exact as far as a double
 * counts them. A lease never holds more than that.
 */
export const largestAmount: number = Number.MAX_SAFE_INTEGER;

/** Whole millionths of a decimal with at most six digits after the point. */
export function millionthsOf(text: string): bigint {
  const [whole = "0", fraction = ""] = text.split(".");
  return BigInt(whole) * 1_000_000n + BigInt(fraction.slice(0, 6).padEnd(6, "0"));
}

/** As a number, capped at the largest amount that a double counts exactly. */
export function safeMillionthsOf(text: string): number {
  const exact = millionthsOf(text);
  return exact > BigInt(largestAmount) ? largestAmount : Number(exact);
}

/** The whole part of a decimal, for bytes. */
export function wholeOf(text: string): number {
  const exact = BigInt(text.split(".")[0] ?? "0");
  return exact > BigInt(largestAmount) ? largestAmount : Number(exact);
}

/** A decimal for SQL. */
export function decimalOf(millionths: number): string {
  const whole = Math.floor(millionths / 1_000_000);
  const fraction = millionths - whole * 1_000_000;
  return `${whole}.${String(fraction).padStart(6, "0")}`;
}
