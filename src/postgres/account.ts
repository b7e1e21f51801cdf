import { readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";

/** The operating system account that a server runs as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const candidates = ["postgres", "nobody"];

/**
 * PostgreSQL refuses to run as root, so root hands its server to an account without rights.
 * Undefined where the process runs as another account, which then runs the server too.
 */
export function serverAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const accounts = readAccounts();
  const name = candidates.find((candidate) => accounts.has(candidate));
  return name === undefined ? { uid: 65534, gid: 65534 } : accounts.get(name);
}

function readAccounts(): Map<string, Account> {
  const lines = readFileSync("/etc/passwd", "utf8").split("\n");
  return new Map(
    lines.map((line) => {
      const [name = "", , uid, gid] = line.split(":");
      return [name, { uid: Number(uid), gid: Number(gid) }];
    }),
  );
}

/** Whether the account may pass through every folder above the path. */
export function canReach(account: Account | undefined, path: string): boolean {
  if (account === undefined) return true;
  const parent = dirname(path);
  if (parent === path) return true;
  return canTraverse(account, parent) && canReach(account, parent);
}

function canTraverse(account: Account, folder: string): boolean {
  const { mode, uid, gid } = statSync(folder);
  if (uid === account.uid) return (mode & 0o100) !== 0;
  if (gid === account.gid) return (mode & 0o010) !== 0;
  return (mode & 0o001) !== 0;
}
