import { statfs } from "node:fs/promises";
import type { Sql } from "../postgres/connect.ts";
import { urlTarget } from "../postgres/url-target.ts";

export interface Disk {
  readonly freeBytes: number;
  readonly bytes: number;
}

const leastFreeShare = 0.2;
const localHosts = ["localhost", "127.0.0.1", "::1"];

const isHere = (host: string) => localHosts.includes(host) || host.startsWith("/");

/** The disk of the server's data, where that is on this machine and may be looked at. */
export async function diskOf(url: string, sql: Sql): Promise<Disk | undefined> {
  if (!urlTarget(url).hosts.every(({ host }) => isHere(host))) return undefined;
  const [row] = await sql<[{ folder: string }]>`
    select current_setting('data_directory') as folder
  `;
  try {
    const { bavail, blocks, bsize } = await statfs(row.folder);
    return { freeBytes: bavail * bsize, bytes: blocks * bsize };
  } catch {
    // A server in a container has its data elsewhere.
    return undefined;
  }
}

/** Whether a fifth of the disk stays free once so many bytes more are on it. */
export function hasRoomFor(bytes: number, disk: Disk | undefined): boolean {
  if (disk === undefined) return true;
  return (disk.freeBytes - bytes) / disk.bytes >= leastFreeShare;
}
