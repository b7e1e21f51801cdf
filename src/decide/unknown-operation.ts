import { InputError } from "../user-error.ts";

export function isUnknownOperation(error: unknown): boolean {
  const { code, message } = Object(error) as { code?: string; message?: string };
  return code === "QS404" && message === "unknown operation";
}

export function unknownOperation(
  names: readonly string[],
  name: string,
  cause: unknown,
): InputError {
  const hint = `Operations are ${names.toSorted().join(", ")}.`;
  return new InputError("unknown_operation", `unknown operation ${name}`, hint, { cause });
}
