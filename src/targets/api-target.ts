import type { ApiTarget } from "../management/by-api/api-client.ts";
import { urlFrom } from "../postgres/url.ts";
import { localDeclaration } from "../settings/local.ts";
import { readSettings } from "../settings/read-settings.ts";
import { UserError } from "../user-error.ts";
import { requireApiUrl } from "./api-url.ts";
import { chosenProfile } from "./chosen-profile.ts";

/**
 * The API that a command asks: that of QOS_URL, else, without DATABASE_URL, that of the profile.
 * Undefined where a database is meant.
 */
export function apiTarget(env: NodeJS.ProcessEnv = process.env): ApiTarget | undefined {
  const { apiUrl, apiToken } = readSettings(env, localDeclaration);
  if (apiUrl !== undefined) return { url: requireApiUrl(apiUrl), token: requireToken(apiToken) };
  if (urlFrom(env, "DATABASE_URL") !== undefined) return undefined;
  const profile = chosenProfile(env);
  return profile !== undefined && "url" in profile ? profile : undefined;
}

function requireToken(token: string | undefined): string {
  if (token !== undefined) return token;
  throw new UserError(
    "token_missing",
    "QOS_URL is set, and QOS_TOKEN is not",
    "Set it to a token of a service account or of a sign-in, or use a profile.",
  );
}
