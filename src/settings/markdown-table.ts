import type { Declaration } from "./setting.ts";

/** The settings as the docs show them. */
export function markdownTable(...declarations: readonly Declaration[]): string {
  const rows = declarations
    .flatMap((declaration) => Object.values(declaration))
    .map(({ variable, usually, says }) => `| \`${variable}\` | ${usually} | ${says} |`);
  return ["| variable | default | meaning |", "|---|---|---|", ...rows].join("\n");
}
