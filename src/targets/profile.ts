import { addressOf } from "../postgres/url.ts";

/** Where commands go, and as who: the admin API with a token, or a database. */
export type Profile =
  | { readonly url: string; readonly token: string }
  | { readonly database: string };

/** What a profile leads to, without what is secret. */
export function describeProfile(profile: Profile): string {
  if ("url" in profile) return profile.url;
  return addressOf(profile.database);
}
