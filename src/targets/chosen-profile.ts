import { localDeclaration } from "../settings/local.ts";
import { readSettings } from "../settings/read-settings.ts";
import { InputError } from "../user-error.ts";
import type { Profile } from "./profile.ts";
import { readProfiles } from "./profiles-file.ts";

/** The profile that QOS_PROFILE names, or else the one in use; undefined where there is none. */
export function chosenProfile(env: NodeJS.ProcessEnv): Profile | undefined {
  const { profile: named } = readSettings(env, localDeclaration);
  const { current, profiles } = readProfiles(env);
  const name = named ?? current;
  return name === undefined ? undefined : requireProfile(profiles, name);
}

export function requireProfile(profiles: Readonly<Record<string, Profile>>, name: string): Profile {
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (profile !== undefined) return profile;
  const names = Object.keys(profiles);
  throw new InputError(
    "profile_unknown",
    `no profile ${name}`,
    names.length > 0
      ? `Profiles are ${names.join(", ")}.`
      : `Add one: storage-qos profile add ${name} --help.`,
  );
}
