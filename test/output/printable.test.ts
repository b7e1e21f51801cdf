import { expect, test, vi } from "vitest";
import { printRows } from "../../src/output/print-rows.ts";
import { printable } from "../../src/output/printable.ts";

test("a terminal is shown what would steer it, in rows and in JSON", () => {
  const name = "\u001b]0;owned\u0007\u009b2Ja\u202egnp";
  const shown = "\\u001b]0;owned\\u0007\\u009b2Ja\\u202egnp";
  expect(printable(name)).toBe(shown);
  const print = vi.spyOn(console, "log").mockImplementation(() => {});
  printRows([{ name }], ["name"], { json: false, none: "" });
  printRows([{ name }], ["name"], { json: true, none: "" });
  const [, row, json] = print.mock.calls.map(([line]) => line);
  print.mockRestore();
  expect(row).toBe(shown);
  expect(json).toBe(`{"name":"${shown}"}`);
  expect(JSON.parse(json)).toEqual({ name });
});
