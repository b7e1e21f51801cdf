const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const precise = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const preciseClock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function localMoment(iso: string): string {
  return moment.format(new Date(iso));
}

export function preciseMoment(iso: string): string {
  return precise.format(new Date(iso));
}

export function localClock(milliseconds: number, isPrecise = false): string {
  return (isPrecise ? preciseClock : clock).format(milliseconds);
}

export function utc(iso: string): string {
  return `${iso.replace("T", " ").replace(/(\.\d+)?(Z|[+-]\d\d:?\d\d)$/, "$1")} UTC`;
}

const spans = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
] as const;

export function ago(iso: string, now = Date.now()): string {
  const seconds = Math.round((Date.parse(iso) - now) / 1000);
  const [unit, size] =
    spans.find(([, span]) => Math.abs(seconds) >= span) ?? (["second", 1] as const);
  return relative.format(Math.trunc(seconds / size), unit);
}

/** 4210 seconds as 1 h 10 min. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor((seconds % 86_400) / 3_600), "h"],
    [Math.floor((seconds % 3_600) / 60), "min"],
    [Math.floor(seconds % 60), "s"],
  ] as const;
  const shown = parts.slice(parts.findIndex(([value]) => value > 0)).slice(0, 2);
  return shown
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(" ");
}

/** What an input of type datetime-local takes. */
export function inputMoment(date: Date): string {
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}
