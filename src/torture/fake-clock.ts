import { existsSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const libraries = "/usr/lib";

/** A clock of the database that can be set: Debian's libfaketime reads how far it is off. */
export class FakeClock {
  readonly #library: string;
  readonly #file: string;

  private constructor(library: string, file: string) {
    this.#library = library;
    this.#file = file;
  }

  /** Undefined where libfaketime is not installed. */
  static find(folder: string): FakeClock | undefined {
    const library = readdirSync(libraries)
      .map((triple) => join(libraries, triple, "faketime/libfaketimeMT.so.1"))
      .find(existsSync);
    if (library === undefined) return undefined;
    const clock = new FakeClock(library, join(folder, "clock"));
    clock.set(0);
    return clock;
  }

  /** Seconds that it is ahead of the machine's; at once, for every process of the server. */
  set(seconds: number): void {
    const written = `${this.#file}.new`;
    writeFileSync(written, seconds < 0 ? String(seconds) : `+${seconds}`, { mode: 0o644 });
    renameSync(written, this.#file);
  }

  /** Of a server whose clock this is. Time limits go by a clock that is not set. */
  get environment(): Readonly<Record<string, string>> {
    return {
      ...{ LD_PRELOAD: this.#library, FAKETIME_TIMESTAMP_FILE: this.#file },
      ...{ FAKETIME_NO_CACHE: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1" },
    };
  }
}
