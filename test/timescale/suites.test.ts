import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { timescaleUrl } from "./database.ts";

/** What reads or writes samples, and what tells who sees them: to hold on hypertables as well. */
const suites = [
  "test/api/schema.test.ts",
  "test/api/exports.test.ts",
  "test/data-model/partitions.test.ts",
  "test/data-model/row-level-security.test.ts",
  "test/sql/metrics",
  "test/tasks/apply-retention.test.ts",
  "test/tasks/apply-retention-killed.test.ts",
];

describe.skipIf(timescaleUrl === undefined)("with samples in hypertables", () => {
  test("the suites of samples hold", async () => {
    const child = spawn(
      process.execPath,
      [projectPath("node_modules/vitest/vitest.mjs"), "run", ...suites],
      {
        cwd: projectPath("."),
        env: {
          ...process.env,
          DATABASE_URL: timescaleUrl,
          QOS_TEST_SAMPLES: "hypertables",
          VITEST: undefined,
        },
        stdio: ["ignore", "pipe", "ignore"],
      },
    );
    const [output] = await Promise.all([text(child.stdout), once(child, "close")]);
    expect(child.exitCode, output).toBe(0);
  }, 900_000);
});
