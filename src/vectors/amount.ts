/** An amount as the vector files write it: six digits after the point. The database did the sums. */
export function sixDigits(amount: string): string;
export function sixDigits(amount: string | null): string | null;
export function sixDigits(amount: string | null): string | null {
  if (amount === null) return null;
  const [whole, fraction = ""] = amount.split(".");
  return `${whole}.${fraction.padEnd(6, "0").slice(0, 6)}`;
}
