import { resources } from "../resources/resources.ts";

/** The kinds with their names and fields, after the help of a command that takes them. */
export function kindsHelp(action?: "create" | "set" | "delete"): string {
  const able = resources.filter((each) => action === undefined || each[action] !== undefined);
  const width = Math.max(...able.map(({ plural }) => plural.length));
  const lines = able.map(({ plural, names, namesAtFirst, fields }) => {
    const path = (action === "create" && namesAtFirst) || names;
    const told = action === "delete" || action === undefined ? [] : [...fields.keys()];
    return `  ${plural.padEnd(width)}  ${path.join("/")}${told.length > 0 ? `: ${told.join(", ")}` : ""}`;
  });
  return ["", "Kinds and their names:", ...lines].join("\n");
}
