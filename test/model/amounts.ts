/** Token amounts as bigints of a millionth: every operation on them is exact. */

export const MICRO = 1_000_000n;

export interface Ratio {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

export function ceilDiv(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return numerator > 0n && numerator % denominator !== 0n ? quotient + 1n : quotient;
}

export function floorDiv(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return numerator < 0n && numerator % denominator !== 0n ? quotient - 1n : quotient;
}

export function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

export function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

export function sum(amounts: readonly bigint[]): bigint {
  return amounts.reduce((total, amount) => total + amount, 0n);
}

/** A decimal as it is written: `1.7` is 17/10. */
export function ratio(text: string): Ratio {
  const match = /^(-?\d+)(?:\.(\d+))?$/.exec(text);
  if (match === null) throw new Error(`not a decimal: ${text}`);
  const digits = match[2] ?? "";
  return {
    numerator: BigInt(`${match[1]}${digits}`),
    denominator: 10n ** BigInt(digits.length),
  };
}

export function ceilMicro({ numerator, denominator }: Ratio): bigint {
  return ceilDiv(numerator * MICRO, denominator);
}

export function micro(text: string): bigint {
  const { numerator, denominator } = ratio(text);
  if ((numerator * MICRO) % denominator !== 0n) throw new Error(`more than six digits: ${text}`);
  return (numerator * MICRO) / denominator;
}

export function text(amount: bigint): string {
  const size = amount < 0n ? -amount : amount;
  const fraction = (size % MICRO).toString().padStart(6, "0");
  return `${amount < 0n ? "-" : ""}${size / MICRO}.${fraction}`;
}
