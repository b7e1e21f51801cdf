import { existsSync, watch } from "node:fs";
import { join } from "node:path";
import { describeError } from "../output/describe-error.ts";
import { applyFixtures } from "./apply-fixtures.ts";
import { testsOf } from "./tests-of.ts";

/** Editors write a file in several steps; what is saved within this time is one change. */
const gatherMs = 100;
const watched = ["db/fixtures", "src", "tasks", "test"];

export interface DevLoop {
  /** Resolves when what is under way has ended. */
  stop(): Promise<void>;
}

export interface DevLoopOptions {
  /** The development database; its login may become rate_limiter_owner. */
  readonly url: string;
  /** The project's folder. */
  readonly root: string;
  /** Runs vitest with these files; answers whether all passed. */
  readonly runTests: (files: readonly string[]) => Promise<boolean>;
  readonly print: (line: string) => void;
}

/** At each save: applies changed functions to the development database, then runs their tests. */
export function startDevLoop(options: DevLoopOptions): DevLoop {
  const saved = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let working = Promise.resolve();
  const work = () => {
    const paths = [...saved].filter((path) => existsSync(join(options.root, path))).sort();
    saved.clear();
    if (paths.length > 0) working = working.then(() => handleSaved(paths, options));
  };
  const watchers = watched.map((folder) =>
    watch(join(options.root, folder), { recursive: true }, (_event, file) => {
      if (!file || !/^[^~]*[\w-]\.(sql|ts)$/.test(file)) return;
      saved.add(join(folder, file));
      clearTimeout(timer);
      timer = setTimeout(work, gatherMs);
    }),
  );
  return {
    async stop() {
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
      await working;
    },
  };
}

async function handleSaved(paths: readonly string[], options: DevLoopOptions): Promise<void> {
  const { url, root, runTests, print } = options;
  const fixtures = paths.filter((path) => path.startsWith("db/") && path !== "db/fixtures/all.sql");
  try {
    if (fixtures.length > 0) {
      await applyFixtures(url, root, fixtures);
      print(`applied ${fixtures.join(", ")}`);
    }
    const tests = testsOf(paths);
    if (tests.length === 0) return;
    print((await runTests(tests)) ? "tests passed" : "tests failed");
  } catch (error) {
    // The next save is the next attempt.
    print(`${paths.join(", ")}\n${describeError(error)}`);
  }
}
