import type { IncomingMessage, ServerResponse } from "node:http";
import { afterEach, expect, test, vi } from "vitest";
import { consoleFiles } from "../../src/api/console/console-files.ts";

afterEach(() => {
  vi.useRealTimers();
});

test("a build that fails is tried again by the minute, however many visitors ask", async () => {
  vi.useFakeTimers();
  const build = vi.fn(async () => {
    throw new Error("no bundler");
  });
  const files = consoleFiles(build);
  const message = { headers: { accept: "text/html" } } as IncomingMessage;
  const visit = () => files.answer("/", message, {} as ServerResponse);
  for (let visits = 0; visits < 3; visits += 1) {
    await expect(visit()).rejects.toMatchObject({ code: "QS503" });
  }
  expect(build).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(60_000);
  await expect(visit()).rejects.toMatchObject({ code: "QS503" });
  expect(build).toHaveBeenCalledTimes(2);
});
