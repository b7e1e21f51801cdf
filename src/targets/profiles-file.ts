import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { UserError } from "../user-error.ts";
import type { Profile } from "./profile.ts";

export interface Profiles {
  /** The one that is used where none is named. */
  readonly current?: string;
  readonly profiles: Readonly<Record<string, Profile>>;
}

const ownerAlone = 0o600;

/** By the XDG base directories. */
export function profilesPath(env: NodeJS.ProcessEnv): string {
  const home = env.XDG_CONFIG_HOME || join(env.HOME || homedir(), ".config");
  return join(home, "storage-qos", "profiles.json");
}

export function readProfiles(env: NodeJS.ProcessEnv): Profiles {
  const path = profilesPath(env);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return { profiles: {} };
    throw unreadable(path, (cause as Error).message, cause);
  }
  requireOwnerAlone(path);
  try {
    const { current, profiles = {} } = JSON.parse(text);
    return { ...(current && { current }), profiles };
  } catch (cause) {
    throw unreadable(path, "it is not JSON", cause);
  }
}

/** Under another name first, so that no reader finds half of it and no moment leaves it open. */
export function writeProfiles(env: NodeJS.ProcessEnv, profiles: Profiles): void {
  const path = profilesPath(env);
  const draft = `${path}.${process.pid}`;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(draft, `${JSON.stringify(profiles, undefined, 2)}\n`, { mode: ownerAlone });
  // A mask of the process may have taken more, never less, than was asked for.
  chmodSync(draft, ownerAlone);
  renameSync(draft, path);
}

function requireOwnerAlone(path: string): void {
  if ((statSync(path).mode & 0o077) === 0) return;
  throw new UserError(
    "profiles_open",
    `${path} holds tokens, and others may read it`,
    `Run chmod 600 ${path}, and replace the tokens if others are on this machine.`,
  );
}

function unreadable(path: string, why: string, cause: unknown): UserError {
  return new UserError(
    "profiles_unreadable",
    `${path} cannot be read: ${why}`,
    "Correct it, or remove it and add the profiles again.",
    { cause },
  );
}
