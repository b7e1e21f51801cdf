import { ForbiddenError, NotFoundError } from "../errors.ts";

export function unknownOperation(operation: string): NotFoundError {
  return new NotFoundError("QS404", "unknown operation", {
    detail: `operation: ${operation}`,
    hint: "Use a name from operation_costs(), or have an operation added.",
  });
}

export function inactiveOperation(operation: string): ForbiddenError {
  return new ForbiddenError("QS403", "operation is inactive", {
    detail: `operation: ${operation}`,
    hint: "An administrator can activate the operation again.",
  });
}
