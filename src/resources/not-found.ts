import { InputError, UserError } from "../user-error.ts";
import { formatPath } from "./path.ts";
import type { Item, Resource } from "./resource.ts";

/** Nothing of this name is there: the command line exits with 4. */
export class NotFound extends UserError {
  override readonly exitCode = 4;
}

export function requireItem(
  items: readonly Item[],
  path: readonly string[],
  { name, plural }: Resource,
): Item {
  const found = items.find((item) => formatPath(item.path) === formatPath(path));
  if (found !== undefined) return found;
  throw notFound(path, { name, plural });
}

/** The same where a call names an object by itself: the database and the API tell it by a code. */
export function orNotFound(path: readonly string[], resource: Resource): (error: unknown) => never {
  return (error) => {
    const { code, message } = Object(error) as { code?: string; message?: string };
    const isIt = code === "QS404" && message === `unknown ${resource.name}`;
    throw isIt ? notFound(path, resource, error) : error;
  };
}

function notFound(
  path: readonly string[],
  { name, plural }: Pick<Resource, "name" | "plural">,
  cause?: unknown,
): NotFound {
  return new NotFound(
    "not_found",
    `no ${name} ${formatPath(path)}`,
    `storage-qos get ${plural} lists those that there are.`,
    { cause },
  );
}

export function requireAbsent(
  items: readonly Item[],
  path: readonly string[],
  { name }: Resource,
): void {
  if (!items.some((item) => formatPath(item.path) === formatPath(path))) return;
  throw new InputError(
    "exists_already",
    `${name} ${formatPath(path)} exists already`,
    `storage-qos set ${name} changes it.`,
  );
}
