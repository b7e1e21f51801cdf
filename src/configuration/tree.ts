import type { ConfiguredObject } from "./declared-objects.ts";
import { writeFields } from "./fields.ts";
import { type Child, type Kind, rootChildren } from "./kinds.ts";

type Tree = Record<string, unknown>;

/** Objects as a file has them: by their names, in the order of the schema. */
export function treeOf(objects: readonly ConfiguredObject[]): Tree {
  return childrenOf(rootChildren, objects, []);
}

/** One object alone, without what is in it. */
export function fieldsOf({ kind, path, spec }: ConfiguredObject): Tree {
  const found = kinds.get(kind);
  return found === undefined ? {} : written(found, { kind, path, spec });
}

/** What is in an object, without its own fields. */
export function partOf(
  kind: Kind,
  path: readonly string[],
  objects: readonly ConfiguredObject[],
): Tree {
  return childrenOf(kind.children, objects, path);
}

export const kinds: ReadonlyMap<string, Kind> = new Map(
  everyKind(rootChildren).map((kind) => [kind.kind, kind]),
);

function everyKind(children: readonly Child[]): Kind[] {
  return children.flatMap(({ kind }) => [kind, ...everyKind(kind.children)]);
}

function childrenOf(
  children: readonly Child[],
  objects: readonly ConfiguredObject[],
  names: readonly string[],
): Tree {
  const parts = children.map(({ key, kind, holds }) => {
    const own = objects.filter((object) => object.kind === kind.kind && isIn(object, names));
    if (own.length === 0) return [key, undefined] as const;
    const within = (object: ConfiguredObject) => ({
      ...written(kind, object),
      ...childrenOf(
        kind.children,
        objects.filter((each) => isIn(each, object.path)),
        object.path,
      ),
    });
    if (holds === "one") return [key, own[0] && within(own[0])] as const;
    if (holds === "list") return [key, own.map(within)] as const;
    return [
      key,
      Object.fromEntries(own.map((object) => [object.path[names.length], within(object)])),
    ] as const;
  });
  return Object.fromEntries(parts.filter(([, value]) => value !== undefined));
}

function written(kind: Kind, { path, spec }: ConfiguredObject): Tree {
  const fields = writeFields(kind.fields, spec);
  if (!("threshold_value" in spec)) return fields;
  const [metric, comparison, severity] = path.slice(-3);
  return { when: `${metric} ${comparison} ${spec.threshold_value}`, severity, ...fields };
}

function isIn({ path }: ConfiguredObject, names: readonly string[]): boolean {
  return names.every((name, place) => path[place] === name);
}
