import { decideAlone, decideBatch, decideTogether, type Waiting } from "./decide-batch.ts";
import type { Decision } from "./decision.ts";
import { ClosedError, NotFoundError } from "./errors.ts";
import { requireSize } from "./require-size.ts";
import { openPool } from "./store/open-pool.ts";
import { pgAsSql } from "./store/pg-as-sql.ts";
import type { PgPool, Sql } from "./store/sql.ts";
import { Store } from "./store/store.ts";

const largestBatch = 100;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export interface DeciderOptions {
  /** A URL, for a pool of the decider's own, or a pool of `postgres` or `pg`, which stays open. */
  readonly connection: string | Sql | PgPool;
  /** Calls of many decisions that are under way at once. */
  readonly callsAtOnce?: number;
  /** A call that takes longer counts as an outage. */
  readonly timeoutMs?: number;
}

/**
 * Asks the database for every decision and holds no lease: for services that decide for many
 * applications, each of them seldom. A call takes along all that have asked while others were
 * under way; whoever asks when none is does not wait.
 */
export class Decider {
  readonly #sql: Sql;
  readonly #ownsPool: boolean;
  readonly #store: Store;
  readonly #callsAtOnce: number;
  #queue: Waiting[] = [];
  #underWay = 0;
  #asked = 0;
  #whenIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor({ connection, callsAtOnce, timeoutMs }: DeciderOptions) {
    this.#ownsPool = typeof connection === "string";
    this.#sql = sqlOf(connection);
    this.#store = new Store(this.#sql, timeoutMs ?? 2_000, () => {});
    this.#callsAtOnce = callsAtOnce ?? 2;
  }

  /** Rejects with a LimiterError; after an UnavailableError the charge may have been made. */
  async decide(
    application: string,
    operation: string,
    sizeBytes = 0,
    { reference }: { readonly reference?: string } = {},
  ): Promise<Decision> {
    if (this.#closing !== undefined) throw new ClosedError();
    requireSize(sizeBytes);
    requireId(application);
    const asked = { name: operation, size: sizeBytes, reference: reference ?? null };
    this.#asked += 1;
    try {
      return await new Promise<Decision>((resolve, reject) => {
        this.#take({ application, operation: asked, resolve, reject });
      });
    } finally {
      this.#asked -= 1;
      if (this.#asked === 0) this.#whenIdle?.();
    }
  }

  /** Waits for what was asked. Doing it again waits for the first. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#asked > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    if (this.#ownsPool) await this.#sql.end({ timeout: 5 });
  }

  #take(waiting: Waiting): void {
    // A reference is looked up and written down: nothing that can be done for many at once.
    if (waiting.operation.reference !== null) {
      void decideAlone(this.#store, waiting);
      return;
    }
    this.#queue.push(waiting);
    if (this.#underWay < this.#callsAtOnce) void this.#work();
  }

  async #work(): Promise<void> {
    this.#underWay += 1;
    while (this.#queue.length > 0) {
      const next = this.#queue.splice(0, largestBatch);
      const groups = byApplication(next);
      const alike = groups.filter((group) => group.length > 1);
      const single = groups.flatMap((group) => (group.length === 1 ? group : []));
      await Promise.all([
        decideTogether(this.#store, single),
        ...alike.map((group) => decideBatch(this.#store, group)),
      ]);
    }
    this.#underWay -= 1;
  }
}

export function createDecider(options: DeciderOptions): Decider {
  return new Decider(options);
}

function sqlOf(connection: string | Sql | PgPool): Sql {
  if (typeof connection === "string") return openPool(connection);
  return typeof connection === "function" ? connection : pgAsSql(connection);
}

/** What is no id at all would spoil a call for everybody in it. */
function requireId(application: string): void {
  if (uuid.test(application)) return;
  throw new NotFoundError("QS404", "unknown application", {
    detail: `app_id: ${application}`,
    hint: "Create the application, or check its id.",
  });
}

function byApplication(batch: readonly Waiting[]): Waiting[][] {
  const groups = new Map<string, Waiting[]>();
  for (const waiting of batch) {
    const group = groups.get(waiting.application);
    if (group === undefined) groups.set(waiting.application, [waiting]);
    else group.push(waiting);
  }
  return [...groups.values()];
}
