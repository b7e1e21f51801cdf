import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { chmod, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The data of a server that was shut down, kept for copies. */
export interface ClusterImage {
  readonly folder: string;
  readonly password: string;
}

/** With its owner and permissions; file systems that can, share the blocks. */
export async function copyCluster(from: string, to: string): Promise<void> {
  await run("cp", ["-a", from, to]);
}

export function readImage(folder: string): ClusterImage | undefined {
  const passwordFile = join(folder, "password");
  if (!existsSync(passwordFile)) return undefined;
  return { folder: join(folder, "data"), password: readFileSync(passwordFile, "utf8") };
}

/** Another process may have kept the same image meanwhile: then that one stays. */
export async function keepImage(folder: string, cluster: ClusterImage): Promise<void> {
  const draft = `${folder}.${process.pid}`;
  await mkdir(draft, { recursive: true });
  await chmod(draft, 0o700);
  try {
    await copyCluster(cluster.folder, join(draft, "data"));
    await writeFile(join(draft, "password"), cluster.password, { mode: 0o600 });
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
}
