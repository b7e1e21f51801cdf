import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import { listManifests } from "../../src/archive/list.ts";
import { readManifest, verifyArchive } from "../../src/archive/manifest.ts";
import { openStore } from "../../src/archive/open-store.ts";
import { restoreArchive } from "../../src/archive/restore.ts";
import { runCli } from "../cli/run-cli.ts";
import { createDatabase } from "../harness/index.ts";
import { makeApplication } from "../sql/denials/world.ts";
import { retentionWorld } from "../tasks/apply-retention-world.ts";
import { startBucketServer } from "./bucket-server.ts";

const database = await createDatabase();
const { applyRetention, exportFirst, metricRows, oldMetrics } = retentionWorld(database);
let appId = "";

beforeEach(async () => {
  appId = await makeApplication(database);
  await exportFirst("raw_metrics");
});

/** The folder for drafts, of this file's own. */
const drafts = mkdtempSync(join(tmpdir(), "drafts-"));
beforeEach(() => {
  vi.stubEnv("TMPDIR", drafts);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(drafts, { recursive: true });
});
const draftsLeft = () => readdirSync(drafts);

describe("a bucket", () => {
  test("that does not answer holds up no worker that stops", async () => {
    const server = await startBucketServer();
    server.puts = "never answered";
    const stopping = new AbortController();
    const store = openStore(server.place, server.env).until(stopping.signal);
    const draft = await store.tempFileFor("x");
    writeFileSync(draft, "content");
    const sha256 = createHash("sha256").update("content").digest("hex");
    const put = store.put("x", draft, sha256);
    await vi.waitFor(() => expect(server.unanswered).toBe(1), 10_000);
    stopping.abort();
    await expect(put).rejects.toMatchObject({ code: "archive_unreachable" });
    rmSync(draft);
  });

  test("takes archives, lists them in pages, and gives them back", async () => {
    const server = await startBucketServer();
    for (const days of [95, 96, 97]) await oldMetrics(appId, days, 100);
    const before = await metricRows(appId);
    expect(await applyRetention(server.env)).toBeNull();
    expect(server.refused).toEqual([]);
    expect(await metricRows(appId)).toEqual([]);

    const store = openStore(server.place, server.env);
    const names = (await listManifests(store)).filter((name) => /metrics_y/.test(name));
    expect(names.length).toBe(3);
    expect(names[0]).toMatch(/^raw_metrics\/metrics_y\d{4}m\d\dd\d\d\.manifest\.json$/);
    const keys = [...server.objects.keys()];
    expect(keys.every((key) => key.startsWith("some/folder/"))).toBe(true);
    for (const name of names) {
      const { manifest } = await verifyArchive(store, name);
      expect(manifest).toMatchObject({ rows: 100, relation: "rate_limiter.metrics" });
      await restoreArchive(database.urlAs("rate_limiter_owner"), store, name);
    }
    expect(await metricRows(appId)).toEqual(before);
    expect(await applyRetention(server.env)).toBeNull();
    expect([...server.objects.keys()]).toEqual(keys);
    expect(draftsLeft()).toEqual([]);
  });

  test("is asked again when it is busy", async () => {
    const server = await startBucketServer();
    await oldMetrics(appId, 95);
    server.busyFor = 2;
    // A worker that was killed left one of these long ago, another works at the other.
    const [left, used] = ["left", "used"].map((part) =>
      join(drafts, `storage-qos-archive.${part}.partial`),
    ) as [string, string];
    for (const path of [left, used]) writeFileSync(path, "");
    utimesSync(left, 0, 0);
    expect(await applyRetention(server.env)).toBeNull();
    expect(draftsLeft()).toEqual(["storage-qos-archive.used.partial"]);
    rmSync(used);
    expect(await metricRows(appId)).toEqual([]);
  });

  test.each([
    [
      "keeps something else than it was given",
      { puts: "spoilt" },
      /is not a manifest|has another|cannot be read/,
    ],
    ["keeps nothing", { puts: "failed" }, /answered 507 InsufficientStorage/],
    ["refuses the key", { env: { AWS_SECRET_ACCESS_KEY: "another" } }, /SignatureDoesNotMatch/],
    ["is not there", { env: { QOS_ARCHIVE_FOLDER: "s3://nowhere" } }, /404 NoSuchBucket/],
    [
      "is behind a closed door",
      { env: { AWS_ENDPOINT_URL_S3: "http://127.0.0.1:1" } },
      /not answer/,
    ],
  ] as const)("that %s lets nothing go", async (_, fault, told) => {
    const server = await startBucketServer();
    const { env = {}, puts = server.puts } = fault as { env?: object; puts?: typeof server.puts };
    await oldMetrics(appId, 95);
    server.puts = puts;
    expect(await applyRetention({ ...server.env, ...env })).toMatch(told);
    expect((await metricRows(appId)).length).toBe(3);
    expect(draftsLeft()).toEqual([]);
    server.puts = "kept";
    expect(await applyRetention(server.env)).toBeNull();
    expect(await metricRows(appId)).toEqual([]);
  });

  test("is seen to by the command line", async () => {
    const server = await startBucketServer();
    await oldMetrics(appId, 95);
    const before = await metricRows(appId);
    expect(await applyRetention(server.env)).toBeNull();
    const env = { DATABASE_URL: database.url, ...server.env };
    const listed = await runCli(["archive", "list", "--json"], env);
    const manifests = listed.stdout.split("\n").flatMap((line) => (line ? [JSON.parse(line)] : []));
    const { manifest: address } = manifests.find(({ rows }) => rows === 3);
    expect(address).toMatch(/^s3:\/\/archives\/some\/folder\/raw_metrics\/metrics_y/);
    const verified = await runCli(["archive", "verify", address], env);
    expect(verified.stdout).toMatch(/\.csv\.gz: 3 rows, as its manifest says\n$/);
    const restored = await runCli(["archive", "restore", address], env);
    expect(restored.stdout).toBe("rate_limiter.metrics: 3 rows restored, 0 were there\n");
    expect(await metricRows(appId)).toEqual(before);
    await applyRetention(server.env);
  });
});

describe("the place of archives", () => {
  const keys = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b" };

  test.each([
    "s3://",
    "s3://UPPER",
    "s3://bucket//x",
    "s3://bucket/a b",
    "s3://bucket/a?b",
    "s3:x",
  ])("is not %s", (place) => {
    expect(() => openStore(place, keys)).toThrow("names no folder of a bucket");
  });

  test("needs keys when it is a bucket, and none when it is not", async () => {
    expect(() => openStore("s3://bucket/a", {})).toThrow("nothing says with which keys");
    expect(openStore("s3://bucket/a/", keys).locate("x")).toBe("s3://bucket/a/x");
    expect(openStore("s3://bucket", keys).locate("x")).toBe("s3://bucket/x");
    expect(openStore("/archives", {}).locate("x")).toBe("/archives/x");
    const missing = readManifest(openStore("/nowhere", {}), "x.manifest.json");
    await expect(missing).rejects.toMatchObject({ code: "manifest_missing" });
  });
});
