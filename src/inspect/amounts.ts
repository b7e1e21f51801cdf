const units = ["B", "kB", "MB", "GB", "TB"];

/** Digits without the zeros at the end of a fraction. */
export function trimmed(amount: string): string {
  return amount.includes(".") ? amount.replace(/\.?0+$/, "") : amount;
}

/** For people: three digits and a unit, as quotas are written. */
export function bytesForPeople(amount: string): string {
  let rest = Number(amount);
  let unit = 0;
  while (Math.abs(rest) >= 999.5 && unit < units.length - 1) {
    rest /= 1_000;
    unit += 1;
  }
  return `${Number(rest.toPrecision(3))} ${units[unit]}`;
}
