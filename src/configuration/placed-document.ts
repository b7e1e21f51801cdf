import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
} from "yaml";
import type { Problem } from "./problem.ts";
import type { Source } from "./source.ts";

/** A way into a document: keys of objects and places in lists. */
export type Path = readonly string[];

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

  /** What the parser itself finds wrong, such as a key that is given twice. */
  get problems(): Problem[] {
    const found = this.#document.errors.map((error) => {
      const [message = ""] = error.message.split(/ at line \d+/);
      return this.#at(error.pos[0], `${message} (${error.code})`);
    });
    return found.length > 0 ? found : this.#unresolved();
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
