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
    ...firstSteps(psql, demo),
  ];
}

/** Lines to copy: a decision by the demo's key while it is known, then what needs no key. */
function firstSteps(psql: string, demo: Demo | undefined): string[] {
  return [
    "  Open a session as a gateway:",
    `    ${psql}`,
    "  and ask whether a 64 KiB read may run now:",
    `    ${decision(demo?.apiKey ?? "YOUR_API_KEY")}`,
    "",
    "  Or replay traffic against a quota, in virtual time:",
    "    npm run -s qos -- replay --help",
  ];
}

function decision(apiKey: string): string {
  return `select * from rate_limiter.consume_with_key('${apiKey}', 'read_medium', 65536);`;
}
