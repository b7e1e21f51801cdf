import { ceilMicro, MICRO, max, min } from "./amounts.ts";
import { ModelError } from "./model-error.ts";
import type { Pools } from "./pools.ts";
import type { Source } from "./source.ts";
import { type BucketType, isLayer1 } from "./world.ts";

export interface Loan {
  readonly app: string;
  readonly type: BucketType;
  readonly tokens: bigint;
  readonly seconds: bigint;
  /** As a vector file writes an owner; null: the bucket's own future. */
  readonly lender: string | null;
}

interface Borrowing {
  readonly app: string;
  readonly type: BucketType;
  readonly lender: string | null;
  readonly due: bigint;
  owed: bigint;
  status: "active" | "repaid" | "defaulted";
}

/** Section 9. */
export class Borrowings {
  readonly #pools: Pools;
  readonly #borrowings = new Map<string, Borrowing>();

  constructor(pools: Pools) {
    this.#pools = pools;
  }

  borrow(at: bigint, id: string, { app, type, tokens, seconds, lender }: Loan) {
    const { store, settings } = this.#pools;
    const borrower = isLayer1(type) ? null : this.#pools.inForceOf(app, type, "enforce", at);
    if (borrower === null) throw new ModelError("unknown_bucket");
    if (tokens <= 0n || seconds <= 0n) throw new ModelError("not_positive");
    if (borrower.bucket.level.tokens < 0n) throw new ModelError("borrower_in_debt");
    if (seconds > settings.maxBorrowSeconds) throw new ModelError("duration_too_long");
    const lending = lender === null ? null : this.#lending(at, app, type, lender);
    const repayment = tokens + ceilMicro(scaled(tokens, settings.interestRate));
    this.#checkLimit(borrower, tokens, repayment);
    if (lending !== null) this.#lend(lending, tokens);
    store.write(borrower.bucket, "borrow", tokens);
    const due = at + seconds * MICRO;
    const from = lending?.app ?? null;
    this.#borrowings.set(id, { app, type, lender: from, due, owed: repayment, status: "active" });
    return { tokens: borrower.bucket.level.tokens + tokens, repayment, due };
  }

  #lend({ bucket }: Source, tokens: bigint): void {
    if (bucket.terms === null) throw new ModelError("unknown_bucket");
    if (bucket.level.tokens - tokens < bucket.terms.minReserve) {
      throw new ModelError("lender_short");
    }
    this.#pools.store.write(bucket, "borrow", -tokens);
  }

  repay(at: bigint, id: string) {
    const borrowing = this.#borrowings.get(id);
    if (borrowing === undefined) throw new ModelError("unknown_borrowing");
    if (borrowing.status !== "active") return { paid: 0n, owed: 0n, status: borrowing.status };
    const { app, type, owed, due } = borrowing;
    const { bucket } = this.#pools.source(app, type, "enforce", at) as Source;
    const holds = max(bucket.level.tokens, 0n);
    const isLate = at > due + this.#pools.settings.borrowGraceSeconds * MICRO;
    const paid = isLate ? owed : min(holds, owed);
    if (paid > 0n) this.#pay(at, borrowing, paid);
    borrowing.owed -= paid;
    if (borrowing.owed === 0n) borrowing.status = holds < paid ? "defaulted" : "repaid";
    return { paid, owed: borrowing.owed, status: borrowing.status };
  }

  #pay(at: bigint, { app, type, lender }: Borrowing, paid: bigint): void {
    const { bucket } = this.#pools.source(app, type, "enforce", at) as Source;
    this.#pools.store.write(bucket, "repay", -paid);
    if (lender === null) return;
    this.#pools.credit(this.#pools.source(lender, type, "enforce", at) as Source, paid);
  }

  /** Another application's bucket of the same kind, tenant and cluster. */
  #lending(at: bigint, app: string, type: BucketType, lender: string): Source {
    const [sort, name] = lender.split(":") as [string, string];
    const cluster = this.#pools.clusterOf(app);
    const isOther = sort === "app" && name !== app && this.#pools.isKnown(name);
    const isSibling = isOther && this.#pools.tenantOf(name) === this.#pools.tenantOf(app);
    const isNear = cluster !== null && this.#pools.clusterOf(name) === cluster;
    const source = isSibling && isNear ? this.#pools.source(name, type, "enforce", at) : null;
    if (source === null) throw new ModelError("lender_not_allowed");
    return source;
  }

  #checkLimit({ app, type, bucket, debtLimit }: Source, tokens: bigint, repayment: bigint): void {
    const { numerator, denominator } = this.#pools.settings.maxBorrowRatio;
    const fits = (amount: bigint) => amount * denominator <= bucket.lastTerms.capacity * numerator;
    const open = [...this.#borrowings.values()].filter(
      (borrowing) => borrowing.app === app && borrowing.type === type,
    );
    const owed = open.reduce((total, borrowing) => total + borrowing.owed, repayment);
    if (!fits(bucket.level.tokens + tokens) || !fits(owed) || owed > debtLimit) {
      throw new ModelError("borrow_limit");
    }
  }
}

function scaled(tokens: bigint, rate: { numerator: bigint; denominator: bigint }) {
  return { numerator: tokens * rate.numerator, denominator: rate.denominator * MICRO };
}
