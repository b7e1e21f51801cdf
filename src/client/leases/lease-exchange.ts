import { fromDatabase, isOfOneApplication, type LimiterError } from "../errors.ts";
import { chargeOwed, type OwedCharge } from "../store/charge-owed.ts";
import {
  type ChargeRow,
  type Counts,
  type ExchangeAnswer,
  exchangeLeases,
  grantOf,
  type LeaseHolder,
  type RenewalRow,
  type SettlementRow,
} from "../store/exchange-leases.ts";
import { leaseTokens } from "../store/lease-tokens.ts";
import { renewLease, type SpentLease } from "../store/renew-lease.ts";
import { reportCounts } from "../store/report-counts.ts";
import { settleLease } from "../store/settle-lease.ts";
import type { Sql } from "../store/sql.ts";
import type { Store } from "../store/store.ts";
import { BatchSize } from "../waiting/batch-size.ts";
import { WorkQueue } from "../waiting/work-queue.ts";
import type { LeaseGrant } from "./lease.ts";

const largestBatch = 100;
const callsAtOnce = 2;

export interface Renewal {
  readonly application: string;
  /** The id of the next lease: repeated under it, the renewal grants no second one. */
  readonly leaseId: string;
  /** A lease that ends with the renewal. */
  readonly spent: SpentLease | undefined;
  readonly tokens: string;
  readonly bytes: string;
  readonly counts: Counts;
}

interface Pending {
  /** Asks for it in a call of its own. */
  readonly askAlone: () => Promise<void>;
  readonly reject: (error: LimiterError) => void;
}

interface Entry<Row, Answer> extends Pending {
  readonly row: Row;
  readonly resolve: (answer: Answer) => void;
}

interface Batch {
  readonly renewals: readonly Entry<RenewalRow, LeaseGrant>[];
  readonly settlements: readonly Entry<SettlementRow, void>[];
  readonly charges: readonly Entry<ChargeRow, void>[];
}

/**
 * Renewals, settlements and charges of all applications of a process. Those that arrive while
 * calls are in flight go together with the next one.
 */
export class LeaseExchange {
  readonly #store: Store;
  readonly #holder: LeaseHolder;
  readonly #size: BatchSize;
  /** Entries whose buckets another transaction holds: the others do not wait for them. */
  readonly #alone = new WorkQueue(callsAtOnce);
  readonly #renewals: Entry<RenewalRow, LeaseGrant>[] = [];
  readonly #settlements: Entry<SettlementRow, void>[] = [];
  readonly #charges: Entry<ChargeRow, void>[] = [];
  #inFlight = 0;

  constructor(store: Store, holder: LeaseHolder, timeoutMs: number) {
    this.#store = store;
    this.#holder = holder;
    this.#size = new BatchSize(largestBatch, timeoutMs);
  }

  renew({ application, leaseId, spent, tokens, bytes, counts }: Renewal): Promise<LeaseGrant> {
    const asked = { application, leaseId, tokens, bytes };
    const request = { ...asked, ...this.#holder, counts };
    const ask = (sql: Sql) =>
      spent === undefined ? leaseTokens(sql, request) : renewLease(sql, spent, request);
    const next = { app_id: application, tokens, bytes, next_lease_id: leaseId };
    const row = { ...next, ...rowOf(spent, counts) };
    return this.#add(this.#renewals, row, () =>
      this.#store.charge(ask, (grant) => grant.lease_id !== null),
    );
  }

  settle(application: string, spent: SpentLease, counts: Counts): Promise<void> {
    const row = { app_id: application, ...rowOf(spent, counts) };
    return this.#add(this.#settlements, row, () =>
      this.#store.charge((sql) => settleLease(sql, application, spent, counts)),
    );
  }

  reportCounts(application: string, counts: Counts): Promise<void> {
    const row = { app_id: application, ...rowOf(undefined, counts) };
    return this.#add(this.#settlements, row, () =>
      this.#store.read((sql) => reportCounts(sql, application, counts)),
    );
  }

  charge(application: string, owed: OwedCharge): Promise<void> {
    const { tokens, bytes, idempotencyKey: key } = owed;
    return this.#add(this.#charges, { app_id: application, tokens, bytes, key }, () =>
      this.#store.charge((sql) => chargeOwed(sql, application, owed)),
    );
  }

  #add<Row, Answer>(
    queue: Entry<Row, Answer>[],
    row: Row,
    askAlone: () => Promise<Answer>,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      queue.push({ row, resolve, reject, askAlone: () => askAlone().then(resolve, reject) });
      if (this.#inFlight < callsAtOnce) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#inFlight += 1;
    // Yield once so that concurrent entries are included.
    await Promise.resolve();
    for (let batch = this.#next(); batch !== undefined; batch = this.#next()) {
      await this.#ask(batch);
    }
    this.#inFlight -= 1;
  }

  #next(): Batch | undefined {
    const size = this.#size.now;
    const batch = {
      renewals: this.#renewals.splice(0, size),
      settlements: this.#settlements.splice(0, size),
      charges: this.#charges.splice(0, size),
    };
    return entriesOf(batch).length === 0 ? undefined : batch;
  }

  async #ask(batch: Batch): Promise<void> {
    const [first, ...others] = entriesOf(batch);
    if (first === undefined) return;
    if (others.length === 0) return first.askAlone();
    const askedAt = performance.now();
    try {
      for (const busy of finish(batch, await this.#exchange(batch))) this.#askBehind(busy);
    } catch (error) {
      const typed = error as LimiterError;
      for (const entry of [first, ...others]) {
        if (isOfOneApplication(typed)) this.#askBehind(entry);
        else entry.reject(typed);
      }
    }
    this.#size.see(others.length + 1, performance.now() - askedAt);
  }

  #exchange({ renewals, settlements, charges }: Batch): Promise<ExchangeAnswer[]> {
    const rows = {
      renewals: renewals.map(({ row }) => row),
      settlements: settlements.map(({ row }) => row),
      charges: charges.map(({ row }) => row),
    };
    return this.#store.charge(
      (sql) => exchangeLeases(sql, rows, this.#holder),
      (answers) => hasCharged(answers, charges.length),
    );
  }

  #askBehind({ askAlone }: Pending): void {
    this.#alone.add(askAlone);
  }
}

function entriesOf({ renewals, settlements, charges }: Batch): Pending[] {
  return [...renewals, ...settlements, ...charges];
}

/** Answers the entries whose applications are busy. Grants come in the order of the renewals. */
function finish(
  { renewals, settlements, charges }: Batch,
  answers: readonly ExchangeAnswer[],
): Pending[] {
  const busyKeys = new Set(answers.flatMap(({ key }) => key ?? []));
  const grants = answers.filter(({ key }) => key === undefined);
  const busy: Pending[] = charges.filter(({ row }) => busyKeys.has(row.key));
  for (const { row, resolve } of charges) if (!busyKeys.has(row.key)) resolve();
  for (const { resolve } of settlements) resolve();
  for (const [place, entry] of renewals.entries()) {
    const answer = grants[place];
    if (answer === undefined || "is_busy" in answer) busy.push(entry);
    else if ("code" in answer) entry.reject(fromDatabase(answer));
    else entry.resolve(grantOf(answer));
  }
  return busy;
}

function hasCharged(answers: readonly ExchangeAnswer[], charges: number): boolean {
  const busy = answers.filter(({ key }) => key !== undefined).length;
  return charges > busy || answers.some((answer) => "lease_id" in answer);
}

function rowOf(spent: SpentLease | undefined, { denials, demand }: Counts) {
  const { id, tokens, bytes } = spent ?? {};
  return {
    ...{ lease_id: id, spent_tokens: tokens, spent_bytes: bytes },
    ...{ denials: denials ?? undefined, demand: demand ?? undefined },
  };
}
