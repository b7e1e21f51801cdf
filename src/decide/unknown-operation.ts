import type { Sql } from "../postgres/connect.ts";
import { InputError } from "../user-error.ts";
import { operationNames } from "./operation-names.ts";

export function isUnknownOperation(error: unknown): boolean {
  const { code, message } = Object(error) as { code?: string; message?: string };
  return code === "QS404" && message === "unknown operation";
}

export async function unknownOperation(
  sql: Sql,
  name: string,
  cause: unknown,
): Promise<InputError> {
  const names = await operationNames(sql);
  const hint = `Operations are ${names.join(", ")}.`;
  return new InputError("unknown_operation", `unknown operation ${name}`, hint, { cause });
}
