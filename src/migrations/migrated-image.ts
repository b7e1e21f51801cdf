import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { logFor } from "../log.ts";
import { cacheFolder, isPackage, projectPath } from "../paths.ts";
import { type ClusterImage, keepImage, readImage } from "../postgres/cluster-image.ts";
import { withConnection } from "../postgres/connect.ts";
import { startThrowawayServer } from "../postgres/throwaway-server.ts";
import { withDatabase } from "../postgres/url.ts";
import { requireUrlParts } from "../postgres/url-parts.ts";
import { migrate } from "./migrate.ts";

/** The migrated database of the image. */
export const imageDatabase = "storage_qos";

const cache = cacheFolder();
const lockFile = isPackage ? "package.json" : "package-lock.json";
/** All that decides what a migrated server looks like. */
const ingredients = ["db", "src/migrations", "src/postgres", lockFile];
/** Longer than copying an image takes. */
const graceMs = 10 * 60 * 1000;

/** A migrated server to copy, made at the first call after a change and kept in the cache. */
export async function migratedImage(): Promise<ClusterImage | undefined> {
  const folder = join(cache, imageKey());
  const known = readImage(folder);
  if (known !== undefined) return known;
  try {
    await makeImage(folder);
  } catch (err) {
    // A folder that cannot be written costs a second each time, and no more.
    logFor("postgres").debug({ err }, "no image of a migrated server");
  }
  removeOtherImages(folder);
  return readImage(folder);
}

async function makeImage(folder: string): Promise<void> {
  const server = await startThrowawayServer();
  let keep = async (_cluster: string) => {};
  try {
    await withConnection(server.url, (sql) => sql`create database ${sql(imageDatabase)}`);
    await migrate(withDatabase(server.url, imageDatabase));
    const password = requireUrlParts(server.url).password ?? "";
    keep = (cluster) => keepImage(folder, { folder: cluster, password });
  } finally {
    await server.stopAndKeep(keep);
  }
}

/** The day is part of it: migrations make the partitions of the days to come. */
function imageKey(): string {
  const hash = createHash("sha256");
  hash.update(`${new Date().toISOString().slice(0, 10)} ${process.getuid?.()}`);
  for (const file of ingredients.flatMap(filesUnder)) hash.update(file).update(readFileSync(file));
  return `migrated-${hash.digest("hex").slice(0, 16)}`;
}

function filesUnder(ingredient: string): string[] {
  const path = projectPath(ingredient);
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function removeOtherImages(current: string): void {
  if (!existsSync(cache)) return;
  const images = readdirSync(cache).filter((name) => name.startsWith("migrated-"));
  for (const folder of images.map((name) => join(cache, name))) {
    const age = Date.now() - statSync(folder).mtimeMs;
    if (folder === current || age < graceMs) continue;
    rmSync(folder, { recursive: true, force: true });
  }
}
