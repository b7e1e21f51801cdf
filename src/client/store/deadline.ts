import { unavailable } from "../errors.ts";
import { deferred } from "../waiting/deferred.ts";

/** The time limit of one call. Its timer does not keep the process alive. */
export class Deadline {
  readonly #timer: NodeJS.Timeout;
  readonly #late: Promise<never>;
  #isOver = false;

  constructor(ms: number) {
    const late = deferred<never>();
    // The rejection is observed by race() only.
    late.promise.catch(() => {});
    this.#late = late.promise;
    this.#timer = setTimeout(() => {
      // After a blocked event loop the answer may already be in the socket: read it first.
      setImmediate(() =>
        setImmediate(() => {
          this.#isOver = true;
          late.reject(unavailable(`no answer in ${ms} ms`));
        }),
      );
    }, ms);
    this.#timer.unref();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Rejects with an UnavailableError when the time is over. */
  race<T>(answer: Promise<T>): Promise<T> {
    return Promise.race([answer, this.#late]);
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}
