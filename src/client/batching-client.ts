import {
  decideAlone,
  decideBatch,
  decideMany,
  type PendingRequest,
} from "./decisions/decide-many.ts";
import type { Decision } from "./decisions/decision.ts";
import { requireSize } from "./decisions/require-size.ts";
import { ClosedError, NotFoundError } from "./errors.ts";
import { type ClientLogger, defaultLogger } from "./options/logger.ts";
import {
  logger,
  type Rules,
  requireConnection,
  validateOptions,
  wholeNumber,
} from "./options/validate-options.ts";
import type { Connections } from "./store/connections.ts";
import { type Connection, openConnections } from "./store/open-connections.ts";
import { Store } from "./store/store.ts";
import { abortable, throwIfAborted } from "./waiting/abortable.ts";
import { within } from "./waiting/within.ts";

const largestBatch = 100;
/** For pending requests on close(); then connections are destroyed. */
const closeMs = 4_000;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export interface BatchingClientOptions {
  /** A URL (the client opens its own pool), or a pool of `postgres` or `pg`, which stays open. */
  readonly connection: Connection;
  /** How many batched calls are in flight at once. */
  readonly callsAtOnce?: number;
  /** A call that takes longer counts as an outage. */
  readonly timeoutMs?: number;
  /** By default warnings go to standard error. */
  readonly logger?: ClientLogger;
}

const rules: Rules = {
  connection: () => {},
  callsAtOnce: wholeNumber(1, 1_000),
  timeoutMs: wholeNumber(1, 86_400_000),
  logger,
};

/**
 * Asks the database for every decision and holds no lease: for services that decide for many
 * applications, each of them rarely. Requests that arrive while `callsAtOnce` calls are in
 * flight are sent together with the next one.
 */
export class BatchingClient implements AsyncDisposable {
  readonly #connections: Connections;
  readonly #store: Store;
  readonly #callsAtOnce: number;
  #queue: PendingRequest[] = [];
  #underWay = 0;
  #asked = 0;
  #whenIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: BatchingClientOptions) {
    validateOptions(options, rules);
    requireConnection(options.connection);
    const timeoutMs = options.timeoutMs ?? 2_000;
    const log = options.logger ?? defaultLogger();
    this.#connections = openConnections(options.connection, timeoutMs, log);
    this.#store = new Store(this.#connections, timeoutMs, () => {});
    this.#callsAtOnce = options.callsAtOnce ?? 2;
  }

  /**
   * `sizeBytes`: null where it is not known yet. Rejects with a LimiterError; after an
   * UnavailableError the charge may have been made.
   */
  async decide(
    application: string,
    operation: string,
    sizeBytes: number | null = 0,
    { reference, signal }: { readonly reference?: string; readonly signal?: AbortSignal } = {},
  ): Promise<Decision> {
    if (this.#closing !== undefined) throw new ClosedError();
    throwIfAborted(signal);
    requireSize(sizeBytes);
    requireId(application);
    const asked = { name: operation, size: sizeBytes, reference: reference ?? null };
    this.#asked += 1;
    try {
      const decided = new Promise<Decision>((resolve, reject) => {
        this.#take({ application, operation: asked, resolve, reject });
      });
      return await abortable(decided, signal);
    } finally {
      this.#asked -= 1;
      if (this.#asked === 0) this.#whenIdle?.();
    }
  }

  /** Waits for pending requests, four seconds at most. Repeated calls return the same promise. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const idle = new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
    if (this.#asked > 0) await within(closeMs, idle);
    this.#store.close();
    await this.#connections.close();
  }

  #take(waiting: PendingRequest): void {
    // Referenced operations are looked up and recorded one by one.
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
        decideMany(this.#store, single),
        ...alike.map((group) => decideBatch(this.#store, group)),
      ]);
    }
    this.#underWay -= 1;
  }
}

export function createBatchingClient(options: BatchingClientOptions): BatchingClient {
  return new BatchingClient(options);
}

/** An invalid id would fail the whole batch. */
function requireId(application: string): void {
  if (uuid.test(application)) return;
  throw new NotFoundError("QS404", "unknown application", {
    detail: `app_id: ${application}`,
    hint: "Create the application, or check its id.",
  });
}

function byApplication(batch: readonly PendingRequest[]): PendingRequest[][] {
  const groups = new Map<string, PendingRequest[]>();
  for (const waiting of batch) {
    const group = groups.get(waiting.application);
    if (group === undefined) groups.set(waiting.application, [waiting]);
    else group.push(waiting);
  }
  return [...groups.values()];
}
