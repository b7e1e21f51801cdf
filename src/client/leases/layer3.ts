import type { Lease } from "./lease.ts";
import { Leases } from "./leases.ts";

/** Drawn and explained in docs/architecture.md, Layer 3; the gateway has the same. */
export type Layer3State = "empty" | "draining" | "active" | "renewing" | "outage" | "closed";

export type Transition =
  | "ask"
  | "grant"
  | "refuse"
  | "return"
  | "end"
  | "settle"
  | "fail"
  | "recover"
  | "close";

type Arrow = readonly [from: Layer3State, by: Transition, to: Layer3State];

const answering = ["empty", "draining", "active", "renewing"] as const;

/** Every way from one state to another. */
export const arrows: readonly Arrow[] = [
  ["empty", "ask", "renewing"],
  ["active", "ask", "renewing"],
  ["draining", "ask", "renewing"],
  ["renewing", "grant", "active"],
  ["renewing", "refuse", "active"],
  ["renewing", "refuse", "empty"],
  ["renewing", "refuse", "draining"],
  ["active", "return", "draining"],
  ["active", "return", "empty"],
  ["active", "end", "empty"],
  ["active", "end", "draining"],
  ["draining", "end", "empty"],
  ["draining", "settle", "empty"],
  ...answering.map((state): Arrow => [state, "fail", "outage"]),
  ...answering.map((state): Arrow => ["outage", "recover", state]),
  ...[...answering, "outage" as const].map((state): Arrow => [state, "close", "closed"]),
];

/**
 * What this process holds of one application, without any call: each transition is a method. That of
 * `fail` and `recover` is the store's, which all applications share.
 */
export class Layer3 {
  readonly leases = new Leases();
  readonly #isDown: () => boolean;
  #isClosed = false;
  #isRenewing = false;
  /** Nothing is to be kept of the renewal under way: the application was let go. */
  #isUnwanted = false;
  #settling = 0;

  constructor(isDown: () => boolean) {
    this.#isDown = isDown;
  }

  get state(): Layer3State {
    if (this.#isClosed) return "closed";
    if (this.#isDown()) return "outage";
    if (this.#isRenewing) return "renewing";
    if (this.leases.isInHand) return "active";
    return this.#settling === 0 && this.leases.isEmpty ? "empty" : "draining";
  }

  get isRenewing(): boolean {
    return this.#isRenewing;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** A renewal begins, or another operation waits for the one under way. */
  ask(): void {
    this.#isRenewing = true;
    this.#isUnwanted = false;
  }

  /** Whether the lease is kept; else it is to be settled. */
  grant(lease: Lease, now: number): boolean {
    if (this.#isUnwanted) return false;
    this.leases.add(lease, now);
    return true;
  }

  /** The renewal is over: with a lease that was granted, or as a refusal. */
  answer(): void {
    this.#isRenewing = false;
  }

  /** Answers the leases that are to be settled. */
  return(): Lease[] {
    return this.leases.takeAll();
  }

  /** Its caller may never ask again: a lease that is under way goes back too. */
  doNotKeep(): void {
    this.#isUnwanted = true;
  }

  /** Drops leases that are over at this time. */
  end(now: number): void {
    this.leases.dropExpired(now);
  }

  /** A lease is being settled, until `settled`. */
  settle(): void {
    this.#settling += 1;
  }

  settled(): void {
    this.#settling -= 1;
  }

  close(): void {
    this.#isClosed = true;
  }
}
