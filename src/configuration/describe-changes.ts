import { stringify } from "yaml";
import { printableLines } from "../output/printable.ts";
import type { Change } from "./change.ts";
import { titleOf } from "./configuration.ts";
import { fieldsOf } from "./tree.ts";

const marks = { create: "+", update: "~", adopt: "=", prune: "-" } as const;

/** Changes for people: a line for each object, and of an update each field, before and after. */
export function describeChanges(changes: readonly Change[]): string {
  if (changes.length === 0) return "nothing differs";
  return printableLines([...changes.map(describe), summaryOf(changes)].join("\n"));
}

export function summaryOf(changes: readonly Change[]): string {
  const count = (action: Change["action"]) =>
    changes.filter((change) => change.action === action).length;
  return `created: ${count("create")}, updated: ${count("update")}, adopted: ${count("adopt")}, pruned: ${count("prune")}`;
}

function describe(change: Change): string {
  const { action, manager } = change;
  const note = manager && action === "adopt" ? ` (managed by ${manager})` : "";
  const title = `${marks[action]} ${titleOf(change)}${note}`;
  if (action === "adopt" || action === "prune") return title;
  const [before, after] = [fields(change, change.before), fields(change, change.after)];
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const lines = keys
    .map((key) => [key, inOneLine(before[key]), inOneLine(after[key])] as const)
    .filter(([, old, next]) => old !== next)
    .map(([key, old, next]) =>
      action === "create" ? `    ${key}: ${next}` : `    ${key}: ${old} -> ${next}`,
    );
  return [title, ...lines].join("\n");
}

function fields({ kind, path }: Change, spec: Change["before"]): Record<string, unknown> {
  return spec === null ? {} : fieldsOf({ kind, path, spec });
}

function inOneLine(value: unknown): string {
  if (value === undefined) return "none";
  return stringify(value, { collectionStyle: "flow", lineWidth: 0 }).trim();
}
