import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { createAdministrator } from "../../src/api/administrator/create-administrator.ts";
import { projectPath } from "../../src/paths.ts";
import { runInProcess } from "../cli/in-process.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const folder = mkdtempSync(join(tmpdir(), "storage-qos-pipeline-"));
afterAll(() => rmSync(folder, { recursive: true }));

const section =
  readFileSync(projectPath("docs/configuration.md"), "utf8").split("## A folder in git\n")[1] ?? "";
const [, block = ""] = /^```sh\n([\s\S]*?)^```/m.exec(section) ?? [];
const commands = block.split("\n").filter((line) => line.startsWith("npx storage-qos "));

/** A line of the page as a shell would split it, in the folder of the test. */
function typed(line: string): string[] {
  const words = line.replace(/\$\(git [^)]*\)/, "1a2b3c4").matchAll(/"([^"]*)"|(\S+)/g);
  return [...words]
    .map(([, quoted, bare]) => quoted ?? bare ?? "")
    .slice(2)
    .map((word) => (word === "qos/" ? join(folder, word) : word));
}

test("the pipeline of the page shows a change, applies it, and finds no drift", async () => {
  await createAdministrator(database.sql);
  vi.stubEnv("DATABASE_URL", database.url);
  vi.stubEnv("QOS_OPERATOR", "");
  mkdirSync(join(folder, "qos/tenants"), { recursive: true });
  writeFileSync(
    join(folder, "qos/clusters.yaml"),
    "managed_by: storage-team\nclusters: {fra-1: {region: north}}\n",
  );
  writeFileSync(
    join(folder, "qos/tenants/quiet.yaml"),
    "managed_by: storage-team\ntenants: {quiet: {applications: {ledger: {cluster: fra-1}}}}\n",
  );
  expect(commands.map((line) => typed(line)[0])).toEqual(["apply", "diff", "apply"]);
  const [proposed = [], nightly = [], applied = []] = commands.map(typed);
  const shown = await runInProcess(...proposed);
  expect(shown).toMatchObject({ code: 0, stderr: "" });
  expect(shown.stdout).toContain("+ application quiet/ledger");
  expect((await runInProcess("get", "tenant", "quiet")).code).toBe(4);
  expect(await runInProcess(...applied)).toMatchObject({ code: 0, stderr: "" });
  expect((await runInProcess("get", "application", "quiet/ledger")).code).toBe(0);
  const [row] = await database.sql`
    select count(*)::integer as count from rate_limiter_internal.managed_objects
    where managed_by = 'storage-team'
  `;
  expect(row?.count).toBe(3);
  expect(await runInProcess(...nightly)).toMatchObject({ code: 0, stderr: "" });
  await database.sql`update rate_limiter.clusters set region = 'south'`;
  const drifted = await runInProcess(...nightly);
  expect(drifted).toMatchObject({ code: 3, stderr: "" });
  expect(drifted.stdout).toContain("~ cluster fra-1");

  writeFileSync(join(folder, "qos/tenants/quiet.yaml"), "managed_by: storage-team\nclustres: {}\n");
  const refused = await runInProcess(...proposed);
  expect(refused).toMatchObject({ code: 2, stdout: "" });
  expect(refused.stderr).toContain("quiet.yaml:2:1: unknown key clustres");
});
