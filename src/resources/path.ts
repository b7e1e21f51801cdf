import { InputError } from "../user-error.ts";
import type { Resource } from "./resource.ts";

/** Names of an object, from the outside, with a slash between them; `\/` is one within a name. */
export function parsePath(
  text: string,
  { name, names: usual }: Resource,
  names: readonly string[] = usual,
): string[] {
  const path = text.split(/(?<!\\)\//).map((part) => part.replaceAll("\\/", "/"));
  if (path.length === names.length && path.every((part) => part !== "")) return path;
  throw new InputError(
    "name_invalid",
    `invalid ${name} name: ${text}`,
    `Write it as ${names.join("/")}; a slash within a name as \\/.`,
  );
}

export function formatPath(path: readonly string[]): string {
  return path.map((part) => part.replaceAll("/", "\\/")).join("/");
}
