import type { Declaration, Kind, Setting } from "./setting.ts";

/** The settings as the gateway's Lua reads them. */
export function luaTable(declaration: Declaration): string {
  const rows = Object.values(declaration).map(
    (setting) => `  ${setting.variable} = { ${fields(setting).join(", ")} },`,
  );
  return [
    "-- Written by `npm run settings` from src/settings/gateway.ts: change it there.",
    "",
    "return {",
    ...rows,
    "}",
    "",
  ].join("\n");
}

function fields({ kind, usual }: Setting<unknown>): readonly string[] {
  const kept = usual === undefined ? [] : [`usual = ${luaValue(usual)}`];
  return [...kindFields(kind), ...kept];
}

function kindFields(kind: Kind): readonly string[] {
  switch (kind.name) {
    case "whole number":
    case "port":
      return ['kind = "whole number"', `least = ${kind.least}`];
    case "choice":
      return ['kind = "choice"', `choices = { ${kind.choices.map(luaValue).join(", ")} }`];
    default:
      return [`kind = "${kind.name}"`];
  }
}

function luaValue(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
