import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { configurationSchema } from "../configuration/schema.ts";
import { projectPath } from "../paths.ts";
import { apiDeclaration, oidcDeclaration } from "./api.ts";
import { archiveDeclaration } from "./archive.ts";
import { gatewayDeclaration } from "./gateway.ts";
import { localDeclaration } from "./local.ts";
import { loggingDeclaration } from "./logging.ts";
import { luaTable } from "./lua-table.ts";
import { markdownTable } from "./markdown-table.ts";
import type { Declaration } from "./setting.ts";
import { tracingDeclaration } from "./tracing.ts";
import {
  alertDeclaration,
  healthDeclaration,
  invitationDeclaration,
  workerDeclaration,
} from "./worker.ts";

/** A file, and what it has to be where the declarations are as they are. */
export interface WrittenFile {
  readonly path: string;
  readonly text: string;
}

/** Everything that says what the declarations say, in other words or another language. */
export function writtenFiles(): readonly WrittenFile[] {
  const { host, port } = apiDeclaration;
  const { databaseUrl, dataFolder, postgresPort, ...others } = localDeclaration;
  const ofStart = { databaseUrl, dataFolder, postgresPort, host, port, ...others };
  return [
    withTable("README.md", ofStart),
    withTable(
      "docs/admin-api.md",
      ...[apiDeclaration, oidcDeclaration, loggingDeclaration, tracingDeclaration],
    ),
    withTable(
      "docs/operate.md",
      ...[workerDeclaration, archiveDeclaration, alertDeclaration],
      ...[invitationDeclaration, healthDeclaration],
      ...[loggingDeclaration, tracingDeclaration],
    ),
    withTable("docs/integrate.md", gatewayDeclaration),
    {
      path: "src/gateway/lua/qos/settings/declared_settings.lua",
      text: luaTable(gatewayDeclaration),
    },
    between("src/gateway/nginx.conf", "# settings", "# end of settings", nginxLines()),
    {
      path: "docs/qos.schema.json",
      text: `${JSON.stringify(configurationSchema(), undefined, 2)}\n`,
    },
  ];
}

export function writeSettings(): readonly string[] {
  const changed = writtenFiles().filter(({ path, text }) => read(path) !== text);
  for (const { path, text } of changed) writeFileSync(projectPath(path), text);
  return changed.map(({ path }) => path);
}

function withTable(path: string, ...declarations: readonly Declaration[]): WrittenFile {
  const [start, end] = [
    "<!-- settings: npm run settings writes them -->",
    "<!-- end of settings -->",
  ];
  return between(path, start, end, markdownTable(...declarations));
}

function nginxLines(): string {
  return Object.values(gatewayDeclaration)
    .flatMap(({ variable, kind }) =>
      kind.name === "secret" ? [variable, `${variable}_FILE`] : [variable],
    )
    .map((variable) => `env ${variable};`)
    .join("\n");
}

function between(path: string, start: string, end: string, text: string): WrittenFile {
  const whole = read(path);
  const [before, rest = ""] = whole.split(`${start}\n`);
  const [, after] = rest.split(`\n${end}`);
  if (after === undefined) throw new Error(`${path} has not both lines "${start}" and "${end}"`);
  return { path, text: `${before}${start}\n${text}\n${end}${after}` };
}

/** Nothing where it is not there yet. */
function read(path: string): string {
  return existsSync(projectPath(path)) ? readFileSync(projectPath(path), "utf8") : "";
}
