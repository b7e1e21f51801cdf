import type { Connections } from "../client/store/connections.ts";
import type { Deadline } from "../client/store/deadline.ts";
import type { Sql } from "../client/store/sql.ts";
import type { VirtualTime } from "./virtual-time.ts";

const connections = 4;

/** What the database answers to a statement. */
export type Server = (statement: string, values: readonly unknown[]) => readonly unknown[];

/** A gateway's connections: each way takes half a round trip, and what is cut is never answered. */
export class Network implements Connections {
  readonly size = connections;
  /** Cuts that last; they may overlap. */
  #cuts = 0;
  readonly #time: VirtualTime;
  readonly #rttMs: number;
  readonly #server: Server;

  constructor(time: VirtualTime, rttMs: number, server: Server) {
    this.#time = time;
    this.#rttMs = rttMs;
    this.#server = server;
  }

  cut(): void {
    this.#cuts += 1;
  }

  mend(): void {
    this.#cuts -= 1;
  }

  get #isCut(): boolean {
    return this.#cuts > 0;
  }

  run<T>(statement: (sql: Sql) => Promise<T>, deadline: Deadline): Promise<T> {
    return deadline.race(statement(this.#sql as Sql));
  }

  async listen(): Promise<undefined> {}

  async close(): Promise<void> {}

  readonly #sql = ((strings: TemplateStringsArray, ...values: readonly unknown[]) =>
    new Promise((resolve, reject) => {
      const half = this.#rttMs / 2;
      this.#time.after(half, () => {
        if (this.#isCut) return;
        const answer = this.#answer(strings.join("?"), values);
        this.#time.after(half, () => {
          if (this.#isCut) return;
          if (answer instanceof Error) reject(answer);
          else resolve(answer);
        });
      });
    })) as unknown;

  #answer(statement: string, values: readonly unknown[]): readonly unknown[] | Error {
    try {
      return this.#server(statement, values);
    } catch (error) {
      return error as Error;
    }
  }
}
