import { readFields, UnreadableField } from "./fields.ts";
import { type Child, type Kind, rootChildren } from "./kinds.ts";
import type { Path, PlacedDocument } from "./placed-document.ts";
import type { Problem } from "./problem.ts";
import { conditionPattern } from "./schema.ts";

/** An object as the database takes it. */
export interface ConfiguredObject {
  readonly kind: string;
  /** Its names, from the outside: of an application its tenant's and its own. */
  readonly path: readonly string[];
  readonly spec: Readonly<Record<string, unknown>>;
}

export interface DeclaredObject extends Omit<ConfiguredObject, "spec"> {
  /** Null for what is to go. */
  readonly spec: ConfiguredObject["spec"] | null;
  /** Tells of a problem with it, or with a field of it. */
  problem(message: string): Problem;
}

type Values = Readonly<Record<string, unknown>>;

/** What a document that fits the schema declares; `report` hears of values that are none. */
export function declaredObjects(
  document: PlacedDocument,
  report: (problem: Problem) => void,
): DeclaredObject[] {
  const at = (values: Values, children: readonly Child[], names: Path, place: Path) =>
    children.flatMap((child) => inChild(values[child.key], child, names, [...place, child.key]));

  const inChild = (value: unknown, child: Child, names: Path, place: Path): DeclaredObject[] => {
    if (value === undefined || (value === null && child.holds !== "one")) return [];
    if (child.holds === "one") return inKind(value as Values, child.kind, names, place);
    if (child.holds === "list") {
      return (value as Values[]).flatMap((item, index) =>
        inAlert(item, child.kind, names, [...place, String(index)]),
      );
    }
    return Object.entries(value as Values).flatMap(([name, item]) =>
      inKind(item as Values, child.kind, [...names, name], [...place, name]),
    );
  };

  const inAlert = (item: Values, kind: Kind, names: Path, place: Path): DeclaredObject[] => {
    const [, metric = "", comparison = "", threshold = ""] =
      new RegExp(conditionPattern).exec(String(item.when)) ?? [];
    const path = [...names, metric, comparison, String(item.severity)];
    return inKind(item, kind, path, place, { threshold_value: threshold });
  };

  const inKind = (
    value: Values | null,
    kind: Kind,
    path: Path,
    place: Path,
    more: Values = {},
  ): DeclaredObject[] => {
    const values = value ?? {};
    const within = at(values, kind.children, path, place);
    if (values.existing === true) return within;
    const problem = (message: string) => document.problemAt(place, message, "key");
    try {
      const spec = { ...readFields(kind.fields, values), ...more };
      return [{ kind: kind.kind, path, spec, problem }, ...within];
    } catch (error) {
      if (!(error instanceof UnreadableField)) throw error;
      report(problem(`${error.message} (not a whole amount)`));
      return within;
    }
  };

  return at((document.value ?? {}) as Values, rootChildren, [], []);
}
