import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  visit,
  type YAMLMap,
} from "yaml";
import type { Problem } from "./problem.ts";
import type { Source } from "./source.ts";

/** A way into a document: keys of objects and places in lists. */
export type Path = readonly string[];

const repeatedKey = "DUPLICATE_KEY";

/** A document of a file, and where in the file each part of it is. */
export class PlacedDocument {
  readonly #file: string;
  readonly #document: Document;
  readonly #lines: LineCounter;
  #value: { readonly of: unknown } | undefined;

  constructor(file: string, document: Document, lines: LineCounter) {
    this.#file = file;
    this.#document = document;
    this.#lines = lines;
  }

  get value(): unknown {
    this.#value ??= { of: this.#document.toJS() };
    return this.#value.of;
  }

  /** What the parser itself finds wrong, but for keys that are there twice. */
  get problems(): Problem[] {
    const found = this.#document.errors
      .filter(({ code }) => code !== repeatedKey)
      .map((error) => {
        const [message = ""] = error.message.split(/ at line \d+/);
        return this.#at(error.pos[0], `${message} (${error.code})`);
      });
    return found.length > 0 ? found : this.#unresolved();
  }

  /** Keys that are there twice in one object: what else is wrong can be told beside them. */
  get repeatedKeys(): Problem[] {
    const problems: Problem[] = [];
    if (!this.#document.errors.some(({ code }) => code === repeatedKey)) return problems;
    visit(this.#document, {
      Map: (_, map) => {
        problems.push(...this.#repeatedIn(map));
      },
    });
    return problems;
  }

  #repeatedIn({ items }: YAMLMap): Problem[] {
    const first = new Map<string, number>();
    return items.flatMap(({ key }) => {
      const name = String(scalarOf(key));
      const offset = startOf(key) ?? 0;
      const before = first.get(name);
      first.set(name, before ?? offset);
      if (before === undefined) return [];
      const { line } = this.#lines.linePos(before);
      return [this.#at(offset, `${name} is there twice: before at line ${line}`)];
    });
  }

  /** At a key, or at its value; at what is around it where the file has it by reference. */
  problemAt(path: Path, message: string, where: "key" | "value"): Problem {
    return this.#at(this.#offsetOf(path, where), message);
  }

  /** References that grow beyond all bounds, or lead nowhere. */
  #unresolved(): Problem[] {
    try {
      void this.value;
      return [];
    } catch (error) {
      return [this.#at(0, error instanceof Error ? error.message : String(error))];
    }
  }

  #at(offset: number, message: string): Problem {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.#file, line, column: col, message };
  }

  #offsetOf(path: Path, where: "key" | "value"): number {
    let node: unknown = this.#document.contents;
    let offset = startOf(node) ?? 0;
    let key = offset;
    for (const name of path) {
      const part = this.#partOf(node, name);
      if (part === undefined) return offset;
      key = startOf(part.key) ?? startOf(part.value) ?? offset;
      offset = startOf(part.value) ?? key;
      node = part.value;
    }
    return where === "key" ? key : offset;
  }

  #partOf(node: unknown, name: string): Part | undefined {
    const real = isAlias(node) ? node.resolve(this.#document) : node;
    if (isMap(real)) return real.items.find(({ key }) => String(scalarOf(key)) === name);
    if (isSeq(real)) return { key: undefined, value: real.items[Number(name)] };
    return undefined;
  }
}

/** A pair of an object, or an item of a list. */
interface Part {
  readonly key: unknown;
  readonly value: unknown;
}

/** The documents of a file. */
export function documentsOf({ file, text }: Source): PlacedDocument[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, merge: true });
  return Array.isArray(documents)
    ? documents.map((document) => new PlacedDocument(file, document, lines))
    : [];
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? (node as Node).range?.[0] : undefined;
}

function scalarOf(key: unknown): unknown {
  return isNode(key) && "value" in key ? key.value : key;
}
