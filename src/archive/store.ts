import type { Readable } from "node:stream";

/** Where archives are kept. Names are relative to it; their parts are separated by slashes. */
export interface ArchiveStore {
  /** Where it is a folder of this machine. */
  readonly folder?: string;
  /** Where a name is found, for people. */
  locate(name: string): string;
  /** A file of this machine, to be written and then put under the name, or removed. */
  tempFileFor(name: string): Promise<string>;
  /** Moves a temporary file to its name, so that a file under that name is always complete. */
  put(name: string, tempFile: string, sha256: string): Promise<void>;
  /** Undefined where nothing has the name. */
  read(name: string): Promise<Readable | undefined>;
  /** Every name there is, sorted. */
  list(): Promise<string[]>;
  /** The same place; requests on the network end with the signal. */
  until(signal: AbortSignal): ArchiveStore;
}
