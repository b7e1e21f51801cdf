import { InvalidRequestError } from "../errors.ts";

/** Throws what SQL would raise. Null: not known yet. */
export function requireSize(size: number | null): void {
  if (size === null || (Number.isSafeInteger(size) && size >= 0)) return;
  const message = size < 0 ? "size is negative" : "size is not a whole number of bytes";
  throw new InvalidRequestError("QS422", message, {
    detail: `size_bytes: ${size}`,
    hint: "Give the size of the operation in bytes, 0 or more.",
  });
}
