import { setTimeout as sleep } from "node:timers/promises";
import { ApiError } from "../api-error.ts";

/** Who shares a turn: what one user asks for waits behind what others ask for. */
export interface Party {
  readonly user: string;
  readonly tenant: string;
}

export interface TurnLimits {
  /** What runs at once, in all, of a tenant, and of a user. */
  readonly running: number;
  readonly runningOfTenant: number;
  readonly runningOfUser: number;
  /** What waits at once, in all and of a user. */
  readonly waiting: number;
  readonly waitingOfUser: number;
}

export interface Turns {
  readonly running: number;
  readonly waiting: number;
  /**
   * Waits for a turn, and answers how to give it back. Throws QS429 where the user, and QS503 where
   * all together wait for too much already, or for too long.
   */
  take(party: Party): Promise<() => void>;
}

interface Waiter {
  readonly party: Party;
  readonly start: () => void;
}

const longestWaitMs = 10_000;

/** Users take turns, so that one who asks for much delays the others by one piece of it. */
export function turns(limits: TurnLimits): Turns {
  const queues = new Map<string, Waiter[]>();
  const running = counter();
  let waiting = 0;

  function mayRun({ user, tenant }: Party): boolean {
    return (
      running.of("") < limits.running &&
      running.of(`tenant ${tenant}`) < limits.runningOfTenant &&
      running.of(`user ${user}`) < limits.runningOfUser
    );
  }

  function change({ user, tenant }: Party, by: 1 | -1): void {
    for (const key of ["", `tenant ${tenant}`, `user ${user}`]) running.add(key, by);
  }

  function startNext(): void {
    for (const [user, queue] of queues) {
      const [first] = queue;
      if (first === undefined || !mayRun(first.party)) continue;
      remove(first);
      // Behind all others.
      const rest = queues.get(user);
      queues.delete(user);
      if (rest !== undefined) queues.set(user, rest);
      change(first.party, 1);
      first.start();
      startNext();
      return;
    }
  }

  function remove(waiter: Waiter): void {
    const left = (queues.get(waiter.party.user) ?? []).filter((other) => other !== waiter);
    waiting -= 1;
    if (left.length === 0) queues.delete(waiter.party.user);
    else queues.set(waiter.party.user, left);
  }

  function refuseIfFull({ user }: Party): void {
    if ((queues.get(user)?.length ?? 0) >= limits.waitingOfUser) throw tooMany();
    if (waiting >= limits.waiting) throw busy();
  }

  return {
    get running() {
      return running.of("");
    },
    get waiting() {
      return waiting;
    },
    async take(party) {
      refuseIfFull(party);
      const patience = new AbortController();
      let waiter: Waiter | undefined;
      const started = new Promise<"started">((resolve) => {
        waiter = { party, start: () => resolve("started") };
        queues.set(party.user, [...(queues.get(party.user) ?? []), waiter]);
        waiting += 1;
        startNext();
      });
      const outcome = await Promise.race([
        started,
        sleep(longestWaitMs, "tired" as const, { signal: patience.signal, ref: false }).catch(
          () => "started" as const,
        ),
      ]);
      patience.abort();
      if (outcome === "tired" && waiter !== undefined) {
        remove(waiter);
        throw busy();
      }
      let isTaken = true;
      return () => {
        if (!isTaken) return;
        isTaken = false;
        change(party, -1);
        startNext();
      };
    },
  };
}

function counter() {
  const counts = new Map<string, number>();
  return {
    of: (key: string) => counts.get(key) ?? 0,
    add(key: string, by: number) {
      const count = (counts.get(key) ?? 0) + by;
      if (count === 0) counts.delete(key);
      else counts.set(key, count);
    },
  };
}

function tooMany(): ApiError {
  const hint = "Wait for the answers to what you asked before.";
  return new ApiError("QS429", "too many requests at once", hint, { retryAfterMs: 1_000 });
}

function busy(): ApiError {
  const hint = "Try again in a moment.";
  return new ApiError("QS503", "server is busy", hint, { retryAfterMs: 1_000 });
}
