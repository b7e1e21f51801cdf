import { describe, expect, it } from "vitest";
import { ceilDiv, ceilMicro, micro, ratio, text } from "./amounts.ts";

describe("amounts", () => {
  it("round up to six digits, and only when something is left over", () => {
    expect(ceilMicro({ numerator: 1n, denominator: 3n })).toBe(333_334n);
    expect(ceilMicro({ numerator: 1n, denominator: 4n })).toBe(250_000n);
    expect(ceilDiv(7n, 7n)).toBe(1n);
    expect(ceilDiv(8n, 7n)).toBe(2n);
  });

  it("are read and written without loss", () => {
    for (const amount of [
      "0.000000",
      "0.000001",
      "12.500000",
      "-3.250000",
      "9223372036854775807.999999",
    ]) {
      expect(text(micro(amount))).toBe(amount);
    }
    expect(ratio("0.0007")).toEqual({ numerator: 7n, denominator: 10_000n });
  });

  it("refuse what they cannot hold", () => {
    expect(() => micro("0.0000001")).toThrow("more than six digits");
    expect(() => micro("1e3")).toThrow("not a decimal");
  });
});
