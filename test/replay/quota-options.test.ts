import { describe, expect, it } from "vitest";
import {
  parseBandwidth,
  parseBytes,
  parseCount,
  parseIops,
  parseMethod,
  parseShare,
} from "../../src/replay/quota-options.ts";

const refused = { code: "bad_option", hint: expect.stringMatching(/\w/) };

function thrownBy(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

describe("quota options", () => {
  it("are LIMIT:BURST:SECONDS", () => {
    expect(parseIops("50:100:10", "--iops")).toEqual({ limit: 50, burst: 100, seconds: 10 });
    const wide = { limit: 1, burst: Number.MAX_SAFE_INTEGER, seconds: 1 };
    expect(parseBandwidth("1:9007199254740991:1", "--bandwidth")).toEqual(wide);
  });

  it("take units", () => {
    expect(parseBandwidth("1MB:4MiB:10", "--bandwidth")).toEqual({
      ...{ limit: 1_000_000, burst: 4_194_304, seconds: 10 },
    });
    expect(parseBytes("64KiB", "--upload-size")).toBe(65_536n);
    expect(parseShare("0.5%", "--fail-over")).toBe(5_000);
    for (const text of ["5", "101%", "-1%", "a%"]) {
      expect(thrownBy(() => parseShare(text, "--fail-over"))).toMatchObject(refused);
    }
    expect(thrownBy(() => parseBytes("64 K", "--upload-size"))).toMatchObject(refused);
  });

  it.each([
    "",
    "50",
    "50:100",
    "50:100:10:1",
    "a:b:c",
    "-1:5:1",
    "1.5:2:1",
    "0:0:1",
    "1:1:0",
    "9:8:1",
    "1:2147483648:1",
  ])("refuse %j", (text) => {
    expect(thrownBy(() => parseIops(text, "--iops"))).toMatchObject(refused);
  });

  it("refuse unknown methods and counts", () => {
    expect(parseMethod("fixed_window")).toBe("fixed_window");
    expect(parseCount("0", "--from")).toBe(0);
    expect(thrownBy(() => parseMethod("sliding"))).toMatchObject(refused);
    expect(thrownBy(() => parseCount("-3", "--limit"))).toMatchObject(refused);
    expect(thrownBy(() => parseCount("1e3", "--limit"))).toMatchObject(refused);
  });
});
