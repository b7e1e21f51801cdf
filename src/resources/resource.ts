import type { Management } from "../management/management.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** One object, as people write and read it. */
export interface Item {
  /** Its names, from the outside: of an application its tenant's and its own. */
  readonly path: readonly string[];
  readonly fields: Fields;
}

/** A kind of object that the command line manages: all that its commands need to know of it. */
export interface Resource {
  /** In the singular, as `get` takes it; the plural and the aliases are taken too. */
  readonly name: string;
  readonly plural: string;
  readonly aliases: readonly string[];
  /** What each of its names is. */
  readonly names: readonly string[];
  /** What its names are at its creation, where it is given the rest. */
  readonly namesAtFirst?: readonly string[];
  /** The fields that can be given, and what each is. */
  readonly fields: ReadonlyMap<string, string>;
  list(management: Management): Promise<readonly Item[]>;
  /** Answers what is shown this once, such as a key. */
  create?(management: Management, path: readonly string[], change: FieldChange): Promise<Fields>;
  set?(management: Management, item: Item, change: FieldChange): Promise<void>;
  /** Answers what became of it: what has history is deactivated. */
  delete?(management: Management, item: Item, reason: string): Promise<string>;
}

export interface FieldChange {
  readonly given: Fields;
  /** Keys that are to be as usual again. */
  readonly cleared: readonly string[];
  readonly reason: string;
}
