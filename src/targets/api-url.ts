import { InputError } from "../user-error.ts";

/** The address of an admin API; a secret in it would be shown with it. */
export function requireApiUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isFit = url?.protocol === "https:" || url?.protocol === "http:";
  if (url !== undefined && isFit && url.username === "" && url.password === "") return text;
  throw new InputError(
    "api_url_invalid",
    "the address of the API is not an http or https URL without a password",
    "Write it as https://qos.example.org.",
  );
}
