import { setTimeout as sleep } from "node:timers/promises";
import { styled } from "../output/colours.ts";
import { pressed } from "./keys.ts";
import { type Line, linesOf } from "./rates.ts";
import type { Sample } from "./sample.ts";
import { type Paint, screenOf, type View } from "./screen.ts";

export interface TopOptions {
  readonly intervalMs: number;
  readonly view: View;
  sample(sinceMs: number): Promise<Sample>;
}

/** One table of what happened within one interval. */
export async function topOnce({ intervalMs, view, sample }: TopOptions): Promise<string> {
  const since = Date.now();
  const before = await sample(since);
  await sleep(intervalMs);
  return screenOf(linesOf(before, await sample(since)), { ...view, selected: -1 }).join("\n");
}

/** What a terminal has where it does not say. */
const usualSize = { columns: 80, rows: 24 };
/** The line of keys, a line before it and the one of the cursor. */
const footRows = 3;
const signals = ["SIGTERM", "SIGHUP"] as const;

/** Until q, Ctrl-C or a signal; the terminal is then as it was. */
export async function topLive(options: TopOptions, terminal: Terminal): Promise<void> {
  const { input, output } = terminal;
  const since = Date.now();
  const stop = new AbortController();
  let view = options.view;
  let lines: readonly Line[] = [];
  const paint: Paint = (style, text) => styled(style, text, output);
  const draw = () => {
    const keys = `sorted by ${view.order} | s sorts, up and down choose, Enter opens, q ends`;
    const columns = output.columns || usualSize.columns;
    const rows = (output.rows || usualSize.rows) - footRows;
    const screen = screenOf(lines, view, paint, { columns, rows });
    output.write(`\u001b[H\u001b[J${[...screen, "", keys].join("\r\n")}\r\n`);
  };
  const end = () => stop.abort();
  const onKey = (key: Buffer) => {
    const next = pressed(key.toString(), view, lines.length);
    if (next === undefined) return end();
    view = next;
    draw();
  };
  input.setRawMode(true).on("data", onKey).resume();
  output.on("resize", draw);
  for (const signal of signals) process.once(signal, end);
  output.write("\u001b[?1049h");
  try {
    for (let before = await options.sample(since); !stop.signal.aborted; ) {
      await sleep(options.intervalMs, undefined, { signal: stop.signal }).catch(() => {});
      if (stop.signal.aborted) break;
      const after = await options.sample(since);
      lines = linesOf(before, after);
      before = after;
      draw();
    }
  } finally {
    for (const signal of signals) process.off(signal, end);
    output.off("resize", draw).write("\u001b[?1049l");
    input.setRawMode(false).off("data", onKey).pause();
  }
}

export interface Terminal {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
}
