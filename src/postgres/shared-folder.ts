import { mkdirSync } from "node:fs";

const folder = "/var/lib/storage-qos";

/**
 * Where root puts what its server's account must reach when the project lies in a folder that this
 * account cannot pass, such as root's home. Only root can write here.
 */
export function sharedFolder(): string {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  return folder;
}
