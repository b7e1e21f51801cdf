/** 285 years: as far as microseconds are exact in an interval's arithmetic. */
export const latestUs = 9_007_199_254_740_991n;

const commonFormat =
  /^(\d{2})\/([A-Z][a-z]{2})\/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-]\d{2})(\d{2})$/;
const isoFormat = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(?:[.,](\d+))?(Z|[+-]\d{2}:?\d{2})?$/;
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export interface Moment {
  readonly atUs: bigint;
  readonly isWholeSecond: boolean;
}

/** The time of web servers' logs: 10/Oct/2025:13:55:36 -0700. */
export function commonTime(text: string): Moment | undefined {
  const fields = commonFormat.exec(text);
  if (fields === null) return undefined;
  const [, day, name = "", year, hour, minute, second, zoneHours, zoneMinutes] = fields;
  const month = String(months.indexOf(name) + 1).padStart(2, "0");
  // A leap second is counted with the one before it.
  const seconds = second === "60" ? "59" : second;
  return isoTime(`${year}-${month}-${day}T${hour}:${minute}:${seconds}${zoneHours}:${zoneMinutes}`);
}

/** A time by ISO 8601, in UTC where it names no zone. */
export function isoTime(text: string): Moment | undefined {
  const fields = isoFormat.exec(text);
  if (fields === null) return undefined;
  const [, date = "", time = "", fraction = "", zone = "Z"] = fields;
  const local = Date.parse(`${date}T${time}Z`);
  // What JavaScript rolls over, such as the 31st of February, is refused.
  if (Number.isNaN(local) || new Date(local).toISOString().slice(0, 10) !== date) return undefined;
  const seconds = BigInt((local - zoneMs(zone)) / 1_000);
  const micros = BigInt(fraction.slice(0, 6).padEnd(6, "0"));
  return within(seconds * 1_000_000n + micros, fraction === "");
}

/** Seconds since the Unix epoch, or thousandths or millionths of them, told apart by their size. */
export function epochTime(number: number): Moment | undefined {
  if (!Number.isFinite(number) || number < 0) return undefined;
  const perSecond = number < 1e11 ? 1e6 : number < 1e14 ? 1e3 : 1;
  return within(
    BigInt(Math.round(number * perSecond)),
    perSecond === 1e6 && Number.isInteger(number),
  );
}

function within(atUs: bigint, isWholeSecond: boolean): Moment | undefined {
  return atUs >= 0n && atUs <= latestUs ? { atUs, isWholeSecond } : undefined;
}

function zoneMs(zone: string): number {
  if (zone === "Z") return 0;
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2))];
  return (hours * 60 + minutes) * (zone.startsWith("-") ? -60_000 : 60_000);
}
