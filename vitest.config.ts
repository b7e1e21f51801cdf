import { defineConfig } from "vitest/config";

// For the global set-up, which runs in this process; the test files get theirs below.
process.env.LOG_LEVEL ??= "warn";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/harness/global-setup.ts"],
    reporters: ["default", "./test/harness/closing-line-reporter.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    restoreMocks: true,
    env: { LOG_LEVEL: "silent", GRAPHILE_ENV: "test" },
  },
});
