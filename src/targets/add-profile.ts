import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { urlFrom } from "../postgres/url.ts";
import { localDeclaration } from "../settings/local.ts";
import { readSettings } from "../settings/read-settings.ts";
import { InputError } from "../user-error.ts";
import { requireApiUrl } from "./api-url.ts";
import type { Profile } from "./profile.ts";
import { readProfiles, writeProfiles } from "./profiles-file.ts";

interface Given {
  readonly url: string | undefined;
  readonly database: boolean;
}

/** Secrets are never arguments: every account of the machine sees those. */
export async function addProfile(
  env: NodeJS.ProcessEnv,
  name: string,
  given: Given,
  input: Readable = process.stdin,
): Promise<void> {
  if (!/^[\w.-]{1,64}$/.test(name)) {
    const hint = "Use letters, digits, _, . and -.";
    throw new InputError("name_invalid", `invalid profile name: ${name}`, hint);
  }
  const profile = await profileOf(env, given, input);
  const { current = name, profiles } = readProfiles(env);
  writeProfiles(env, { current, profiles: { ...profiles, [name]: profile } });
}

async function profileOf(
  env: NodeJS.ProcessEnv,
  { url, database }: Given,
  input: Readable,
): Promise<Profile> {
  if ((url === undefined) !== database) {
    throw new InputError(
      "bad_usage",
      "name either --url or --database",
      "Run the command with --help to see what it takes.",
    );
  }
  if (url === undefined) {
    const address = urlFrom(env, "DATABASE_URL") ?? (await firstLine(input, "a connection URL"));
    return { database: urlFrom({ DATABASE_URL: address }, "DATABASE_URL") ?? address };
  }
  const { apiToken } = readSettings(env, localDeclaration);
  return { url: requireApiUrl(url), token: apiToken ?? (await firstLine(input, "a token")) };
}

async function firstLine(input: Readable, what: string): Promise<string> {
  if (input === process.stdin && process.stdin.isTTY) throw missing(what);
  for await (const line of createInterface({ input })) {
    if (line.trim() !== "") return line.trim();
  }
  throw missing(what);
}

function missing(what: string): InputError {
  return new InputError(
    "secret_missing",
    `${what} is missing`,
    "Give it on standard input, such as from a file that only you may read.",
  );
}
