import type { Trace } from "./trace.ts";

/** An operation as it is asked for: in a retry later than it was recorded. */
export interface Operation {
  readonly index: number;
  readonly offsetUs: bigint;
  readonly operation: string;
  readonly size: bigint;
  readonly application: string;
  /** 0 where it was not asked for before. */
  readonly tries: number;
}

export function operationAt(trace: Trace, index: number): Operation {
  return {
    ...{ index, offsetUs: trace.offsetUs(index), operation: trace.operation(index) },
    ...{ size: trace.size(index), application: trace.application(index), tries: 0 },
  };
}
