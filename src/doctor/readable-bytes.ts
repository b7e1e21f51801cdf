const units = ["B", "KiB", "MiB", "GiB", "TiB"];

/** For people: rounded to the unit that leaves up to four digits. */
export function readableBytes(bytes: string): string {
  let amount = Number(bytes);
  let unit = 0;
  while (amount >= 10_240 && unit < units.length - 1) {
    amount /= 1_024;
    unit++;
  }
  return `${Math.round(amount)} ${units[unit]}`;
}
