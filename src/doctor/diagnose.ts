import { checks } from "./checks.ts";
import type { Facts } from "./facts.ts";
import { type Finding, type Severity, severities } from "./finding.ts";

export interface Diagnosis {
  readonly severity: Severity;
  readonly findings: readonly (Finding & { readonly check: string })[];
}

/** What every check says of the facts; as severe as the worst of it. */
export function diagnose(facts: Facts): Diagnosis {
  const findings = checks.map(({ name, judge }) => ({ check: name, ...judge(facts) }));
  const worst = Math.max(...findings.map(({ severity }) => severities.indexOf(severity)));
  return { severity: severities[worst] ?? "ok", findings };
}

const width = Math.max(...checks.map(({ name }) => name.length));

export function describeDiagnosis({ findings, severity }: Diagnosis): string {
  const lines = findings.flatMap(({ check, severity: how, found, advice }) => [
    `${how.padEnd(8)}  ${check.padEnd(width)}  ${found}`,
    ...(advice === undefined ? [] : [`${" ".repeat(10 + width)}  -> ${advice}`]),
  ]);
  return [...lines, `worst: ${severity}`].join("\n");
}

/** 1 and 2 are errors of the command itself. */
export const exitCodes: Readonly<Record<Severity, number>> = {
  ok: 0,
  info: 0,
  warning: 3,
  critical: 5,
};
