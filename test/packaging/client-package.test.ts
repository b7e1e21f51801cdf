import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { addQuota, makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { type InstalledClient, installClient } from "./installed-client.ts";
import { nodesAtHand } from "./nodes-at-hand.ts";

const database = await createDatabase();
const nodes = await nodesAtHand();
const readme = await readFile(projectPath("src/client/README.md"), "utf8");
const manifest = JSON.parse(await readFile(projectPath("src/client/package.json"), "utf8"));
const entries = Object.keys(manifest.exports).filter((entry) => entry !== "./package.json");
const names = entries.map((entry) => entry.replace(".", manifest.name));

let client: InstalledClient;

beforeAll(async () => {
  client = await installClient();
});
afterAll(() => client?.remove());

async function bytesIn(folder: string): Promise<number> {
  const files = await readdir(folder, { recursive: true });
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(folder, file))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

test("the package is small, runs nothing when it is installed, and brings no programs", async () => {
  const installed = await readdir(join(client.folder, "node_modules"));
  const ofPg = (name: string) => name.startsWith("pg") || name.startsWith("postgres-");
  const others = ["split2", "xtend", ".bin", ".package-lock.json"];
  const ours = installed.filter((name) => !ofPg(name) && !others.includes(name));
  expect(ours.sort()).toEqual(["lru.min", manifest.name].sort());
  const sizes = await Promise.all(
    ours.map((name) => bytesIn(join(client.folder, "node_modules", name))),
  );
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(500_000);
  expect(manifest).not.toHaveProperty("scripts");
  expect(manifest).not.toHaveProperty("bin");
});

test("the package reads no environment", async () => {
  const lib = join(client.folder, "node_modules", manifest.name, "lib");
  const files = (await readdir(lib, { recursive: true })).filter((name) => name.endsWith(".js"));
  expect(files.length).toBeGreaterThan(50);
  for (const file of files) {
    expect([file, (await readFile(join(lib, file), "utf8")).includes("process.env")]).toEqual([
      file,
      false,
    ]);
  }
});

test("its types are found by every resolution that knows exports", async () => {
  const result = await checkPackage(createPackageFromTarballData(client.tarball));
  if (!result.types) throw new Error("no types");
  const problems = result.problems.filter((problem) => {
    const isOld = "resolutionKind" in problem && problem.resolutionKind === "node10";
    // It is a module for require() too, where Node allows that.
    return !isOld && problem.kind !== "CJSResolvesToESM";
  });
  expect(problems).toEqual([]);
});

test.each([
  ["nodenext", { module: "nodenext" }],
  ["bundler", { module: "preserve", moduleResolution: "bundler" }],
])(
  "its types compile with the resolution %s and without those of the drivers",
  async (_, options) => {
    const imports = names.map((name, place) => `import * as entry${place} from "${name}";`);
    const uses = names.map((__, place) => `console.log(entry${place});`);
    await client.write(
      "uses.mts",
      `${imports.join("\n")}
     import { createLimiter, type Decision } from "${manifest.name}";
     import { LimiterDouble } from "${manifest.name}/testing";
     const limiter = createLimiter({ connection: "postgres://localhost/qos" });
     const decision: Decision = await limiter.checkAsync("head", null, { reference: "a" });
     const double: boolean = new LimiterDouble({ limit: 1 }).check("head").allowed;
     console.log(decision.retryAfterMs, double);
     // @ts-expect-error an unknown option
     createLimiter({ connection: "postgres://localhost/qos", nothing: 1 });
     ${uses.join("\n")}
    `,
    );
    expect(await client.check(options)).toBe("");
  },
);

test("vite bundles every entry, the driver included, into one file that runs", async () => {
  const uses = names.map((name, place) => `import * as entry${place} from "${name}";`);
  const counts = names.map((_, place) => `Object.keys(entry${place}).length`);
  const entry = await client.write(
    "bundled.mjs",
    `${uses.join("\n")}\nconsole.log(${counts.join(", ")});`,
  );
  await build({
    root: client.folder,
    configFile: false,
    logLevel: "error",
    ssr: { noExternal: true },
    build: { ssr: entry, outDir: "bundle" },
  });
  const [file = "", ...others] = await readdir(join(client.folder, "bundle"));
  expect(others).toEqual([]);
  const bundle = await readFile(join(client.folder, "bundle", file), "utf8");
  expect(bundle).not.toMatch(/^import .* from "(?!node:)/m);
  const [line = ""] = await client.run(process.execPath, join("bundle", file));
  expect(line.split(" ")).toHaveLength(names.length);
  expect(line.split(" ")).not.toContain("0");
});

describe.each(nodes)("with Node %s", (_, node) => {
  test("every entry can be imported and required", async () => {
    await client.write("imports.mjs", names.map((name) => `import "${name}";`).join("\n"));
    await client.write(
      "requires.cjs",
      `console.log(${names.map((name) => `Object.keys(require("${name}")).length`).join(", ")});`,
    );
    await client.run(node, "imports.mjs");
    const [counts = ""] = await client.run(node, "requires.cjs");
    expect(counts.split(" ")).toHaveLength(names.length);
    expect(counts.split(" ")).not.toContain("0");
  });

  test("the first example of its README admits and denies", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 1, burst: 20 } });
    const [, example = ""] = /```js\n([\s\S]*?)```/.exec(readme) ?? [];
    await client.write("example.mjs", example);
    const lines = await client.run(node, "example.mjs", {
      DATABASE_URL: database.urlAs("rate_limiter_app"),
      QOS_API_KEY: world.apiKey,
    });
    expect(lines).toEqual(["true", "iops_l2", expect.stringMatching(/^[1-9]\d*$/)]);
  });
});
