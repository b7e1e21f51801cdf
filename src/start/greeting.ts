import type { Administrator } from "../api/administrator/create-administrator.ts";
import type { Demo } from "./seed-demo.ts";

interface Facts {
  readonly psql: string;
  readonly apiUrl: string | undefined;
  readonly administrator: Administrator | undefined;
  readonly demo: Demo | undefined;
}

/** What to try next. The password and the demo's API key stand here once and nowhere else. */
export function greeting(facts: Facts): string {
  return ["", "storage-qos is running. Ctrl-C stops it.", "", ...parts(facts), ""].join("\n");
}

function parts({ psql, apiUrl, administrator, demo }: Facts): string[] {
  return [
    `  Admin API and its IDE    ${apiUrl}`,
    ...(administrator
      ? [
          `  Sign in as               ${administrator.email}`,
          `  Password (shown once)    ${administrator.password}`,
        ]
      : []),
    ...(demo ? [`  API key (shown once)     ${demo.apiKey}`] : []),
    "",
    "  First decision, with SQL:",
    `    ${psql}`,
  ];
}
