import { bytesOf, bytesText } from "../format/amount.ts";
import type {
  BandwidthLimitInput,
  CalculationMethod,
  IopsLimitInput,
} from "./application.operations.ts";
import type { Quota } from "./quotas.ts";

/** A quota as people type it. What is empty is left to the database. */
export interface Draft {
  readonly iopsLimit: string;
  readonly iopsBurst: string;
  readonly iopsSeconds: string;
  readonly method: CalculationMethod;
  readonly bytesLimit: string;
  readonly bytesBurst: string;
  readonly bytesSeconds: string;
  readonly allowOversize: boolean;
  readonly when: "now" | "later";
  readonly validFrom: string;
  readonly validTo: string;
  readonly reason: string;
}

export interface DraftLimits {
  readonly iops?: IopsLimitInput;
  readonly bandwidth?: BandwidthLimitInput;
}

export function draftOf(quota: Quota | undefined): Draft {
  const { iopsQuota: iops, bandwidthQuota: bandwidth } = quota ?? {};
  return {
    iopsLimit: text(iops?.iopsLimit),
    iopsBurst: text(iops?.iopsBurst),
    iopsSeconds: text(iops?.burstDurationSeconds),
    method: iops?.calculationMethod ?? "TOKEN_BUCKET",
    bytesLimit: bandwidth ? bytesText(bandwidth.bandwidthLimitBps) : "",
    bytesBurst: bandwidth ? bytesText(bandwidth.bandwidthBurstBps) : "",
    bytesSeconds: text(bandwidth?.burstDurationSeconds),
    allowOversize: bandwidth?.allowOversize ?? true,
    ...{ when: "now", validFrom: "", validTo: "", reason: "" },
  };
}

function text(value: number | undefined): string {
  return value === undefined ? "" : String(value);
}

/** What cannot be read as a number; whether the numbers go together is for the database to say. */
export function problemsOf(draft: Draft): Partial<Record<keyof Draft, string>> {
  const problems: Partial<Record<keyof Draft, string>> = {};
  for (const field of ["iopsLimit", "iopsBurst", "iopsSeconds", "bytesSeconds"] as const) {
    if (draft[field] !== "" && wholeOf(draft[field]) === undefined) {
      problems[field] = "Give a whole number.";
    }
  }
  for (const field of ["bytesLimit", "bytesBurst"] as const) {
    if (draft[field] !== "" && bytesOf(draft[field]) === undefined) {
      problems[field] = "Give an amount such as 20 MB or 20000000.";
    }
  }
  if (draft.iopsLimit === "" && draft.bytesLimit === "") {
    problems.iopsLimit = "Limit operations, bandwidth or both.";
  }
  return problems;
}

export function limitsOf(draft: Draft): DraftLimits {
  const iopsBurst = wholeOf(draft.iopsBurst);
  const iopsSeconds = wholeOf(draft.iopsSeconds);
  const bytesBurst = bytesOf(draft.bytesBurst);
  const bytesSeconds = wholeOf(draft.bytesSeconds);
  const iops: IopsLimitInput = {
    iopsLimit: wholeOf(draft.iopsLimit),
    calculationMethod: draft.method,
    ...(iopsBurst !== undefined && { iopsBurst }),
    ...(iopsSeconds !== undefined && { burstDurationSeconds: iopsSeconds }),
  };
  const bandwidth: BandwidthLimitInput = {
    bandwidthLimitBps: String(bytesOf(draft.bytesLimit)),
    allowOversize: draft.allowOversize,
    ...(bytesBurst !== undefined && { bandwidthBurstBps: String(bytesBurst) }),
    ...(bytesSeconds !== undefined && { burstDurationSeconds: bytesSeconds }),
  };
  return {
    ...(draft.iopsLimit !== "" && { iops }),
    ...(draft.bytesLimit !== "" && { bandwidth }),
  };
}

function wholeOf(given: string): number | undefined {
  const digits = given.replace(/[\s,_]/g, "");
  return /^\d{1,10}$/.test(digits) ? Number(digits) : undefined;
}
