import type { Facts } from "./facts.ts";

export const severities = ["ok", "info", "warning", "critical"] as const;
export type Severity = (typeof severities)[number];

/** What a check found, and what to do about it. */
export interface Finding {
  readonly severity: Severity;
  readonly found: string;
  /** Nothing where all is well. */
  readonly advice?: string;
}

export interface Check {
  readonly name: string;
  judge(facts: Facts): Finding;
}

export const ok = (found: string): Finding => ({ severity: "ok", found });
export const info = (found: string, advice: string): Finding => ({
  severity: "info",
  found,
  advice,
});
export const warning = (found: string, advice: string): Finding => ({
  severity: "warning",
  found,
  advice,
});
export const critical = (found: string, advice: string): Finding => ({
  severity: "critical",
  found,
  advice,
});
