import { readFileSync, writeFileSync } from "node:fs";
import { logFor } from "../log.ts";

const log = logFor("bench");
const reserve = "/proc/sys/vm/nr_hugepages";

export interface HugePages {
  /** Zero where this process may not reserve any (only root on Linux may) or memory is in pieces. */
  readonly count: number;
  giveBack(): void;
}

export const noHugePages: HugePages = { count: 0, giveBack() {} };

/** Beside shared_buffers there are locks, WAL buffers and more in PostgreSQL's shared memory. */
const besideBuffers = { share: 0.1, bytes: 64 * 2 ** 20 };

/**
 * Reserves huge pages for a server with so many bytes of shared_buffers, as docs/scale.md advises,
 * until they are given back or this process ends.
 */
export function reserveHugePages(sharedBuffers: number): HugePages {
  try {
    const wanted = sharedBuffers * (1 + besideBuffers.share) + besideBuffers.bytes;
    const count = Math.ceil(wanted / pageSize());
    const granted = addToReserve(count);
    let isHeld = true;
    const giveBack = () => {
      if (isHeld) addToReserve(-granted);
      isHeld = false;
    };
    if (granted === count) {
      process.once("exit", giveBack);
      return { count, giveBack };
    }
    giveBack();
  } catch (error) {
    log.debug({ err: error }, "no huge pages can be reserved");
  }
  return noHugePages;
}

function pageSize(): number {
  const meminfo = readFileSync("/proc/meminfo", "utf8");
  const [, kilobytes] = /^Hugepagesize: +(\d+) kB$/m.exec(meminfo) ?? [];
  return Number(kilobytes) * 1024;
}

/** Answers how many more there are then. */
function addToReserve(count: number): number {
  const size = () => Number(readFileSync(reserve, "utf8"));
  const before = size();
  writeFileSync(reserve, String(before + count));
  return size() - before;
}
