import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { endProcess, type ProcessReport, reportProcess } from "./store/report-process.ts";
import type { Store } from "./store/store.ts";
import { clientVersion } from "./version.ts";

/** A process that ends sooner is not worth a report. */
const firstMs = 5_000;
/** The database counts one as gone that misses three. */
const everyMs = 30_000;

type Counts = Pick<ProcessReport, "applications" | "databaseCalls" | "outages" | "uncharged">;

/** Tells the database now and then that this process is there; whether it hears of it changes nothing. */
export class ProcessReporter {
  readonly #store: Store;
  readonly #name: string;
  readonly #counts: () => Counts;
  readonly #processId = randomUUID();
  readonly #startedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #isKnown = false;

  constructor(store: Store, name: string, counts: () => Counts) {
    this.#store = store;
    this.#name = name;
    this.#counts = counts;
    this.#wait(firstMs);
  }

  /** Reports once, outside of its turn. Never rejects. */
  async report(): Promise<void> {
    const now = performance.now();
    if (this.#store.isPaused(now)) return;
    const report: ProcessReport = {
      ...{ processId: this.#processId, name: this.#name, host: hostname() },
      ...{ version: clientVersion, uptimeMs: now - this.#startedAt, ...this.#counts() },
    };
    const reporting = this.#store.read((sql) => reportProcess(sql, report));
    this.#isKnown ||= await reporting.then(yes, no);
  }

  /** The process ends. Never rejects. */
  async end(): Promise<void> {
    clearTimeout(this.#timer);
    if (!this.#isKnown || this.#store.isPaused(performance.now())) return;
    await this.#store.read((sql) => endProcess(sql, this.#processId)).catch(no);
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => {
      void this.report();
      this.#wait(everyMs);
    }, ms).unref();
  }
}

const yes = () => true;
const no = () => false;
