import type { EventEmitter } from "node:events";

interface Notification {
  readonly channel: string;
  readonly payload?: string;
}

export interface Pace {
  readonly roundMs: number;
  /** What arrives beyond this in a round is left out. */
  readonly mostOfRound: number;
  /** What the notifications of a channel come to together; undefined where that is nothing. */
  merge(channel: string, payloads: readonly string[]): string | undefined;
}

/**
 * Lets through one notification of each channel in a round, the first of them at once. Every login
 * of the database may notify on every channel, with any payload, as often as it likes.
 */
export function paceNotifications(client: EventEmitter, { merge, roundMs, mostOfRound }: Pace) {
  const emit = client.emit.bind(client);
  const rounds = new Map<string, string[]>();

  function pass(channel: string, payloads: readonly string[]): void {
    const payload = merge(channel, payloads);
    if (payload !== undefined) emit("notification", { channel, payload });
  }

  function beginRound(channel: string): void {
    const arrived: string[] = [];
    rounds.set(channel, arrived);
    setTimeout(() => {
      rounds.delete(channel);
      if (arrived.length === 0) return;
      beginRound(channel);
      pass(channel, arrived);
    }, roundMs).unref();
  }

  function hear({ channel, payload = "" }: Notification): void {
    const arrived = rounds.get(channel);
    if (arrived === undefined) {
      beginRound(channel);
      pass(channel, [payload]);
    } else if (arrived.length < mostOfRound) {
      arrived.push(payload);
    }
  }

  client.emit = (event: string | symbol, ...given: unknown[]) => {
    if (event !== "notification") return emit(event, ...given);
    hear(given[0] as Notification);
    return true;
  };
}
