/** Keys that are remembered, for each application. */
const most = 10_000;

/** Remembers which operations were settled, by the caller's keys. The oldest are forgotten first. */
export class SettledKeys {
  readonly #keys = new Set<string>();

  /** Answers whether it is the first time; without a key it always is. */
  add(key: string | undefined): boolean {
    if (key === undefined) return true;
    if (this.#keys.has(key)) return false;
    this.#keys.add(key);
    if (this.#keys.size > most) {
      const [oldest] = this.#keys;
      if (oldest !== undefined) this.#keys.delete(oldest);
    }
    return true;
  }
}
