import type { Readable } from "node:stream";

/** Where archives are kept. Names are relative to it; their parts are separated by slashes. */
export interface ArchiveStore {
  /** Where a name is found, for people. */
  locate(name: string): string;
  /** A file of this machine, to be written and then put under the name, or removed. */
  draftFor(name: string): Promise<string>;
  /** Gives a draft its name: whoever finds the name finds all of it. The draft is gone then. */
  put(name: string, draft: string, sha256: string): Promise<void>;
  /** Undefined where nothing has the name. */
  read(name: string): Promise<Readable | undefined>;
  /** Every name there is, sorted. */
  list(): Promise<string[]>;
}
