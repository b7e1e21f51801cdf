import { spawnSync } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

/** A file system in memory that can be full. */
export class SmallDisk {
  readonly #folder: string;
  readonly #filler: string;
  readonly #unmount = () => void spawnSync("umount", ["--lazy", this.#folder]);

  private constructor(folder: string) {
    this.#folder = folder;
    this.#filler = join(folder, "filler");
    // Whatever ends this program leaves no mount behind.
    process.once("exit", this.#unmount);
  }

  /** Undefined where this program may not mount. */
  static mount(folder: string, megabytes: number): SmallDisk | undefined {
    const args = ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=755`, "tmpfs", folder];
    if (spawnSync("mount", args).status !== 0) return undefined;
    return new SmallDisk(folder);
  }

  /** Leaves no page. */
  fill(): void {
    const file = openSync(this.#filler, "w");
    try {
      for (const size of [2 ** 20, 2 ** 12]) writeUntilFull(file, Buffer.alloc(size));
    } finally {
      closeSync(file);
    }
  }

  empty(): void {
    rmSync(this.#filler, { force: true });
  }

  unmount(): void {
    process.off("exit", this.#unmount);
    this.#unmount();
  }
}

function writeUntilFull(file: number, chunk: Buffer): void {
  try {
    for (;;) writeSync(file, chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
}
