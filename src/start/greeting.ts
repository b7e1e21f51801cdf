import type { Administrator } from "../api/administrator/create-administrator.ts";
import type { DataFolder } from "../postgres/data-folder.ts";
import { version } from "../version.ts";
import type { Demo } from "./seed-demo.ts";
import { inEnvironment } from "./shell.ts";

interface Facts {
  readonly psql: string;
  readonly apiUrl: string | undefined;
  readonly administrator: Administrator | undefined;
  readonly demo: Demo | undefined;
  /** Where the embedded database keeps its data; undefined for a database elsewhere. */
  readonly data: DataFolder | undefined;
  readonly env: NodeJS.ProcessEnv;
}

/** What to try next. The only place that shows the password. */
export function greeting(facts: Facts): string {
  const head = `storage-qos ${version} is running. Ctrl-C stops it.`;
  return ["", head, "", ...access(facts), "", ...firstSteps(facts), ""].join("\n");
}

function access({ apiUrl, administrator, demo, data }: Facts): string[] {
  const kept = data === undefined ? " (shown once)" : "";
  return [
    `  Console and admin API    ${apiUrl}`,
    ...(administrator
      ? [
          `  Sign in to the tenant    ${administrator.tenant}`,
          `  Sign in as               ${administrator.email}`,
          `  Password (shown once)    ${administrator.password}`,
        ]
      : []),
    ...(demo
      ? [
          `  API key${kept.padEnd(16)}  ${demo.apiKey}`,
          `                           of ${demo.owner}`,
        ]
      : []),
    ...(data ? [`  Data, passwords, logs    ${data.folder}`] : []),
  ];
}

/** Lines to copy: a decision by the demo's key while it is known, then what needs no key. */
function firstSteps({ psql, demo, data, env }: Facts): string[] {
  const key = demo?.apiKey ?? "YOUR_API_KEY";
  const command = (words: string, keyed = false) =>
    inEnvironment(
      {
        QOS_DATA_FOLDER: data && env.QOS_DATA_FOLDER,
        QOS_API_KEY: keyed && !(data && demo) ? key : undefined,
      },
      `npx storage-qos ${words}`,
    );
  return [
    "  In another terminal: may this 64 KiB read run now?",
    `    ${command("consume read_medium 64KiB", true)}`,
    "  More than the quota allows:",
    `    ${command("consume read_large 64MiB --times 10", true)}`,
    "  The same in SQL, in a session as a gateway has it:",
    `    ${psql}`,
    `    ${decision(key)}`,
    "  This again, and whether all is well; a new password:",
    `    ${command("status")}`,
    `    ${command("reset-password EMAIL")}`,
    "  Or replay traffic against a quota, in virtual time:",
    `    ${command("replay --help")}`,
  ];
}

function decision(apiKey: string): string {
  return `select * from rate_limiter.consume_with_key('${apiKey}', 'read_medium', 65536);`;
}
