import type { Form } from "./form.ts";

type Units = Readonly<Record<string, bigint>>;

const byteUnits: Units = {
  B: 1n,
  kB: 1000n,
  KiB: 1024n,
  MB: 1000n ** 2n,
  MiB: 1024n ** 2n,
  GB: 1000n ** 3n,
  GiB: 1024n ** 3n,
  TB: 1000n ** 4n,
  TiB: 1024n ** 4n,
};
const countUnits: Units = { "": 1n, k: 1000n, M: 1000n ** 2n };
const timeUnits: Units = { s: 1n, min: 60n, h: 3600n, d: 86_400n };

const integer = 2n ** 31n - 1n;
const bigint = 2n ** 63n - 1n;

export const rate = quantity(`a rate such as 500/s, of at most ${integer}/s`, {
  units: countUnits,
  suffix: "/s",
  most: integer,
});
export const totalRate = quantity("a rate such as 500/s or 10k/s", {
  units: countUnits,
  suffix: "/s",
  most: bigint,
});
export const byteRate = quantity("a rate such as 100 MB/s or 1 GiB/s", {
  units: byteUnits,
  suffix: "/s",
  most: bigint,
});
export const byteSize = quantity("a size such as 5 GiB", { units: byteUnits });
export const count = quantity(`a whole number such as 5000, of at most ${integer}`, {
  units: countUnits,
  most: integer,
});
export const total = quantity("a whole number such as 5000 or 5k", { units: countUnits });
export const time = quantity(`a time such as 5 s or 10 min, of at most ${integer} s`, {
  units: timeUnits,
  most: integer,
});

interface Quantity {
  readonly units: Units;
  readonly suffix?: string;
  /** What the database can hold, where the digits of a file can say more. */
  readonly most?: bigint;
}

/** Whole amounts, exact: the database takes their digits. */
function quantity(title: string, { units, suffix = "", most }: Quantity): Form {
  const names = Object.keys(units).join("|");
  const pattern = `^(\\d{1,18})(?:\\.(\\d{1,6}))? ?(${names})${suffix}$`;
  const shape = new RegExp(pattern);
  // A number without a unit says how much where there is but one unit.
  const isPlain = "" in units && suffix === "";
  return {
    schema: isPlain
      ? { title, type: ["string", "integer"], minimum: 0, maximum: 2 ** 53 - 1, pattern }
      : { title, type: "string", pattern },
    read(value) {
      const [, whole = "", fraction = "", unit = ""] = shape.exec(String(value)) ?? [];
      const scaled = BigInt(whole + fraction) * (units[unit] ?? 0n);
      const scale = 10n ** BigInt(fraction.length);
      const amount = scaled / scale;
      const isTooMuch = most !== undefined && amount > most;
      return scaled % scale === 0n && !isTooMuch ? String(amount) : undefined;
    },
    write(value) {
      const amount = BigInt(String(value));
      const [unit, factor] = largestUnit(units, amount);
      if (isPlain && amount <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(amount);
      const space = unit === "" || (suffix !== "" && units === countUnits) ? "" : " ";
      return `${amount / factor}${space}${unit}${suffix}`;
    },
  };
}

/** The one that leaves the fewest digits and no fraction. */
function largestUnit(units: Units, amount: bigint): [string, bigint] {
  const fitting = Object.entries(units).filter(([, factor]) => amount % factor === 0n);
  const usual: [string, bigint] = Object.entries(units)[0] ?? ["", 1n];
  if (amount === 0n) return usual;
  return fitting.reduce((best, each) => (each[1] > best[1] ? each : best), usual);
}
