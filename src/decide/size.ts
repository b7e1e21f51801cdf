import { InputError } from "../user-error.ts";

const units: Readonly<Record<string, bigint>> = {
  "": 1n,
  B: 1n,
  kB: 1000n,
  KiB: 1024n,
  MB: 1000n ** 2n,
  MiB: 1024n ** 2n,
  GB: 1000n ** 3n,
  GiB: 1024n ** 3n,
};

/** Bytes of a size such as 65536 or 64KiB. */
export function sizeInBytes(text: string): string {
  const [, digits = "", unit = ""] = /^(\d{1,18})\s?([A-Za-z]{0,3})$/.exec(text) ?? [];
  const factor = units[unit];
  if (digits !== "" && factor !== undefined) return String(BigInt(digits) * factor);
  throw new InputError(
    "size_invalid",
    `invalid size: ${text}`,
    `Give whole bytes, or one of the units ${Object.keys(units).filter(Boolean).join(", ")}: 64KiB.`,
  );
}
