import { migrate } from "../migrations/migrate.ts";
import { projectFolder } from "../paths.ts";
import { openDatabases } from "../start/databases.ts";
import { type DevLoop, startDevLoop } from "./dev-loop.ts";
import { runProgram } from "./run-program.ts";

/** On the database of DATABASE_URL, else on that of `npm start`, which may run beside it. */
export async function runDevLoop(
  env: NodeJS.ProcessEnv = process.env,
  print: (line: string) => void = console.log,
): Promise<DevLoop> {
  const databases = await openDatabases(env);
  try {
    await migrate(databases.admin);
    const loop = startDevLoop({
      url: databases.admin,
      root: projectFolder,
      runTests: (files) => runProgram(["vitest", "related", "--run", ...files]),
      print,
    });
    print("watching db/fixtures, src, tasks and test; Ctrl-C stops");
    return {
      async stop() {
        await loop.stop();
        await databases.stop();
      },
    };
  } catch (error) {
    await databases.stop();
    throw error;
  }
}
