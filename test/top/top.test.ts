import { PassThrough } from "node:stream";
import { WriteStream } from "node:tty";
import { describe, expect, test, vi } from "vitest";
import { pressed } from "../../src/top/keys.ts";
import { linesOf, sorted } from "../../src/top/rates.ts";
import { type Terminal, topLive } from "../../src/top/run.ts";
import type { Sample, Sampled } from "../../src/top/sample.ts";
import { screenOf } from "../../src/top/screen.ts";

const row: Sampled = {
  ...{ tenant: "quiet", application: "ledger", cluster: "fra-1", iopsFill: 1, layer1Fill: 0.5 },
  ...{ bandwidthFill: null, debt: "0", admitted: 10, denied: 0 },
};
const noisy: Sampled = {
  ...row,
  ...{ tenant: "noisy", application: "photos", iopsFill: -0.25, debt: "12.5", denied: 5 },
};
const before: Sample = { atMs: 1_000, rows: [row, noisy] };
const after: Sample = {
  atMs: 3_000,
  rows: [
    { ...row, admitted: 30 },
    { ...noisy, admitted: 14, denied: 9 },
  ],
};
const view = { order: "name", selected: 0, isOpen: false } as const;

test("a name that would steer the terminal is shown", () => {
  const hostile = { ...row, application: "\u001b[2J" };
  const [line] = linesOf(before, { ...after, rows: [hostile] });
  const screen = screenOf(line ? [line] : [], view).join("\n");
  expect(screen).toContain("quiet/\\u001b[2J");
  expect(screen).not.toContain("\u001b");
});

describe("rates", () => {
  test("are what counts grew by, by the server's clock", () => {
    expect(linesOf(before, after)).toMatchObject([
      { admittedPerSecond: 10, deniedPerSecond: 0 },
      { admittedPerSecond: 2, deniedPerSecond: 2 },
    ]);
  });

  test("begin with nothing for what is new, and never fall", () => {
    const [line] = linesOf({ atMs: 0, rows: [] }, after);
    expect(line).toMatchObject({ admittedPerSecond: 0, deniedPerSecond: 0 });
    expect(linesOf(after, before)).toMatchObject([
      { admittedPerSecond: 0 },
      { deniedPerSecond: 0 },
    ]);
  });

  test.each([
    ["denied", "noisy"],
    ["admitted", "quiet"],
    ["fill", "noisy"],
    ["name", "noisy"],
  ] as const)("are sorted by %s", (order, first) => {
    expect(sorted(linesOf(before, after), order)[0]?.tenant).toBe(first);
  });
});

describe("the screen", () => {
  test("has a bar for each bucket, and marks what is chosen", () => {
    expect(screenOf(linesOf(before, after), view)).toEqual([
      "  application   operations        bandwidth         layer 1           admitted/s  denied/s  debt",
      "> noisy/photos  ..........  -25%  -                 #####.....   50%         2.0       2.0  12.5",
      "  quiet/ledger  ##########  100%  -                 #####.....   50%        10.0       0.0  0",
    ]);
  });

  test("is coloured by what is left in each bucket, and debt is red", () => {
    const marked = screenOf(
      linesOf(before, after),
      view,
      (style, text) => `<${style}>${text.trim()}</>`,
    );
    expect(marked[0]).toMatch(/^<bold>application .* debt<\/>$/);
    expect(marked[1]).toContain("<red>..........  -25%</>");
    expect(marked[1]).toMatch(/ <red>12\.5<\/>$/);
    expect(marked[2]).toContain("<green>##########  100%</>");
    expect(marked[2]).toMatch(/ 0$/);
    const low = linesOf(before, { ...after, rows: [{ ...row, iopsFill: 0.3 }] });
    expect(screenOf(low, view, (style) => `<${style}>`)[1]).toContain("<yellow>");
  });

  test.each([
    [80, 24],
    [60, 6],
    [110, 10],
  ])("fits %d columns and %d rows, and shows what is chosen", (columns, rows) => {
    const rowOf = (place: number) => ({
      ...row,
      application: `${place}-${"long name ".repeat(9)}`,
    });
    const many = { atMs: 3_000, rows: Array.from({ length: 40 }, (_, place) => rowOf(place)) };
    const size = { columns, rows };
    for (const selected of [0, 20, 39]) {
      const lines = screenOf(linesOf(many, many), { ...view, selected }, undefined, size);
      expect(lines.length).toBe(rows);
      const least = Math.max(columns, 77);
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(least);
      expect(lines.filter((line) => line.startsWith(">"))).toHaveLength(1);
    }
    const [head = ""] = screenOf(linesOf(many, many), view, undefined, size);
    expect(head).toMatch(/^ {2}application +operations +bandwidth +layer 1 +admitted\/s/);
  });

  test("opens the one that is chosen", () => {
    const text = screenOf(linesOf(before, after), { ...view, isOpen: true }).join("\n");
    expect(text).toContain("application  noisy/photos");
    expect(text).toContain("denied       2.0 a second, 9 since the start");
  });
});

describe("the keyboard", () => {
  test("chooses, sorts, opens and ends", () => {
    expect(pressed("j", view, 2)).toEqual({ ...view, selected: 1 });
    expect(pressed("\u001b[B", { ...view, selected: 1 }, 2)).toEqual({ ...view, selected: 1 });
    expect(pressed("\u001b[A", { ...view, selected: 1 }, 2)).toEqual(view);
    expect(pressed("s", { ...view, selected: 1 }, 2)).toEqual({ ...view, order: "denied" });
    expect(pressed("\r", view, 2)).toEqual({ ...view, isOpen: true });
    expect(pressed("\u001b", { ...view, isOpen: true }, 2)).toEqual(view);
    expect(pressed("x", view, 2)).toEqual(view);
    expect([pressed("q", view, 2), pressed("\u0003", view, 2)]).toEqual([undefined, undefined]);
  });

  test.each([
    ["has colours on a terminal", true, "", true],
    ["has none where NO_COLOR is set", true, "1", false],
    ["has none elsewhere", false, "", false],
  ])("drives the terminal, which is then as it was, and %s", async (_, isTTY, no, coloured) => {
    for (const name of ["FORCE_COLOR", "NODE_DISABLE_COLORS", "CI", "TMUX", "TEAMCITY_VERSION"]) {
      vi.stubEnv(name, undefined);
    }
    vi.stubEnv("TERM", "xterm-256color");
    vi.stubEnv("NO_COLOR", no || undefined);
    const raw: boolean[] = [];
    const input = Object.assign(new PassThrough(), {
      setRawMode(isRaw: boolean) {
        raw.push(isRaw);
        return input;
      },
    });
    let shown = "";
    const output = Object.assign(new PassThrough(), {
      isTTY,
      getColorDepth: WriteStream.prototype.getColorDepth,
    });
    output.on("data", (text: Buffer) => {
      shown += text.toString();
    });
    const samples = [before, after];
    const running = topLive({ intervalMs: 1, view, sample: async () => samples.shift() ?? after }, {
      input,
      output,
    } as unknown as Terminal);
    await vi.waitFor(() => expect(shown).toContain("> noisy/photos"));
    input.write("\r");
    await vi.waitFor(() => expect(shown).toContain("cluster      fra-1"));
    input.write("q");
    await running;
    vi.unstubAllEnvs();
    await vi.waitFor(() => expect(shown.endsWith("\u001b[?1049l")).toBe(true));
    expect(shown.includes("\u001b[31m")).toBe(coloured);
    expect(raw).toEqual([true, false]);
  });
});
