/** Amounts come as decimals of any length: what is shown is rounded, what is told is exact. */
export type Decimal = string | number | null | undefined;

const steps = [
  { from: 1e15, suffix: "P" },
  { from: 1e12, suffix: "T" },
  { from: 1e9, suffix: "G" },
  { from: 1e6, suffix: "M" },
  { from: 1e3, suffix: "k" },
] as const;

const noBreak = "\u00a0";
const minus = "\u2212";

/** 1234567 as 1.23 M; thousands stay as they are up to ten thousand. */
export function short(amount: Decimal, unit = ""): string {
  if (amount === null || amount === undefined) return "–";
  const value = Number(amount);
  const size = Math.abs(value);
  const step = size < 10_000 && unit === "" ? undefined : steps.find(({ from }) => size >= from);
  const figures = plain(step ? value / step.from : value);
  const suffix = `${step?.suffix ?? ""}${unit}`;
  return suffix === "" ? figures : `${figures}${noBreak}${suffix}`;
}

function plain(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  const text = new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value);
  return text.replace("-", minus);
}

/** Every digit, grouped. */
export function exact(amount: Decimal, unit = ""): string {
  if (amount === null || amount === undefined) return "";
  const [whole = "0", fraction = ""] = String(amount).replace("-", minus).split(".");
  const digits = fraction.replace(/0+$/, "");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return `${grouped}${digits && `.${digits}`}${unit && `${noBreak}${unit}`}`;
}

export function percent(part: number, whole: number): string {
  return whole > 0 ? `${Math.round((part / whole) * 100)}${noBreak}%` : "–";
}

const unitBytes: Readonly<Record<string, number>> = {
  ...{ "": 1, b: 1, k: 1e3, kb: 1e3, m: 1e6, mb: 1e6, g: 1e9, gb: 1e9, t: 1e12, tb: 1e12 },
  ...{ kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3, tib: 1024 ** 4 },
};

/** 20 MB, 64KiB or 20000000 as bytes; undefined for what is not an amount. */
export function bytesOf(text: string): number | undefined {
  const [, number = "", unit = ""] = /^\s*([\d.,_ ]*\d)\s*([a-z]*)(?:\/s)?\s*$/i.exec(text) ?? [];
  const factor = unitBytes[unit.toLowerCase()];
  const value = Number(number.replace(/[,_ ]/g, ""));
  if (number === "" || factor === undefined || Number.isNaN(value)) return undefined;
  return Math.round(value * factor);
}

/** As people type it: 20000000 as 20 MB. */
export function bytesText(bytes: Decimal): string {
  const value = Number(bytes);
  const step = steps.find(
    ({ from }) => value >= from && (value / from) * 1000 === Math.round((value / from) * 1000),
  );
  return step ? `${value / step.from} ${step.suffix}B` : String(value);
}
