import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { reserveHugePages } from "../../src/bench/huge-pages.ts";

const reserve = "/proc/sys/vm/nr_hugepages";
const reserved = () => Number(readFileSync(reserve, "utf8"));

test.runIf(existsSync(reserve))("huge pages are reserved as said, and given back once", () => {
  const before = reserved();
  const pages = reserveHugePages(2 ** 20);
  expect(reserved()).toBe(before + pages.count);
  pages.giveBack();
  pages.giveBack();
  expect(reserved()).toBe(before);
});
