import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import LongestFirst from "./test/harness/longest-first.ts";

// For the global set-up, which runs in this process; the test files get theirs below.
process.env.LOG_LEVEL ??= "warn";
// What a program loads is compiled once for all that start it: hundreds do.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, ".cache/compiled");

const tests = "test/**/*.test.ts";

/** Files that count what happens in a time, or what a call reads, or that kill: they want the machine alone. */
const measuring = [
  "test/client/{limiter,ends}.test.ts",
  "test/conformance/lease-sharing.test.ts",
  "test/data-model/hot-updates.test.ts",
  "test/gateway/{at-quota,outage,owed}.test.ts",
  "test/sql/decisions/{bounds,crash}.test.ts",
  "test/torture/torture.test.ts",
];

/**
 * Files that leave nothing behind in their process, which runs one after the other: what they import is loaded
 * and compiled once in each process, and not once for each file.
 */
const together = [
  "test/{api,configuration,data-model,db,model,sql,targets,tasks}/**/*.test.ts",
  "test/client/{application-config,batching-client,change-notifications,close,demand}.test.ts",
  "test/client/{faults,layer3,middleware,operation-cost,options,outage,parts}.test.ts",
  "test/client/{pgbouncer,process}.test.ts",
];

const eachFile = {
  pool: "forks",
  testTimeout: 60_000,
  hookTimeout: 120_000,
  restoreMocks: true,
  env: {
    ...{ LOG_LEVEL: "silent", GRAPHILE_ENV: "test" },
    // A profile of who runs the tests is none of theirs.
    XDG_CONFIG_HOME: join(tmpdir(), "storage-qos-without-profiles"),
  },
} as const;

export default defineConfig({
  test: {
    globalSetup: ["test/harness/global-setup.ts"],
    sequence: { sequencer: LongestFirst },
    reporters: ["default", "./test/harness/closing-line-reporter.ts"],
    projects: [
      {
        test: {
          ...eachFile,
          name: "side by side",
          include: [tests],
          exclude: [...measuring, ...together],
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...eachFile,
          name: "together",
          include: together,
          exclude: measuring,
          isolate: false,
          setupFiles: ["test/harness/leave-nothing.ts"],
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...eachFile,
          name: "one by one",
          include: measuring,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
