import { setInterval } from "node:timers/promises";

/** The moment now, and again after each span of time. */
export async function* ticks(milliseconds: number): AsyncGenerator<string, void, undefined> {
  yield new Date().toISOString();
  for await (const _ of setInterval(milliseconds)) yield new Date().toISOString();
}
