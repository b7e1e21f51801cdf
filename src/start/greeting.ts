import type { Demo } from "./seed-demo.ts";

interface Facts {
  readonly psql: string;
  readonly apiUrl: string | undefined;
  readonly demo: Demo | undefined;
}

/** What to try next. The API key of the demo stands here once and nowhere else. */
export function greeting({ psql, apiUrl, demo }: Facts): string {
  return [
    "",
    "storage-qos is running. Ctrl-C stops it.",
    "",
    ...parts(psql, apiUrl, demo),
    "",
  ].join("\n");
}

function parts(psql: string, apiUrl: string | undefined, demo: Demo | undefined): string[] {
  return [
    `  Admin API and its IDE    ${apiUrl}`,
    ...(demo ? [`  API key (shown once)     ${demo.apiKey}`] : []),
    "",
    "  First decision, with SQL:",
    `    ${psql}`,
  ];
}
