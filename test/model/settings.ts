import { type Ratio, ratio } from "./amounts.ts";
import type { Settings as Given } from "./world.ts";

/** The settings that the arithmetic depends on, with the values that vector files count on. */
export interface Settings {
  readonly maxDebtSeconds: bigint;
  readonly maxClusterDebtSeconds: bigint;
  readonly maxBorrowRatio: Ratio;
  readonly interestRate: Ratio;
  readonly maxBorrowSeconds: bigint;
  readonly borrowGraceSeconds: bigint;
  readonly leaseMaxShare: Ratio;
  readonly leaseCommonShare: Ratio;
  readonly deniesWithoutQuota: boolean;
}

export function settingsOf(given: Given = {}): Settings {
  const text = (key: string, otherwise: string) => String(given[key] ?? otherwise);
  return {
    maxDebtSeconds: BigInt(text("max_debt_seconds", "3600")),
    maxClusterDebtSeconds: BigInt(text("max_cluster_debt_seconds", "60")),
    maxBorrowRatio: ratio(text("max_borrow_ratio", "1.5")),
    interestRate: ratio(text("default_interest_rate", "0.1")),
    maxBorrowSeconds: BigInt(text("max_borrow_duration", "3600")),
    borrowGraceSeconds: BigInt(text("borrow_grace_seconds", "0")),
    leaseMaxShare: ratio(text("lease_max_share", "1")),
    leaseCommonShare: ratio(text("lease_common_share", "1")),
    deniesWithoutQuota: text("without_quota", "unlimited") === "deny",
  };
}
