import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { LookupFunction } from "node:net";
import { orAborted } from "../or-aborted.ts";
import type { Address, AddressGuard } from "./alerts/address-guard.ts";

export interface GuardedRequest {
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Aborts before the timeout. */
  readonly signal?: AbortSignal;
}

export interface GuardedAnswer {
  readonly host: string;
  readonly status: number;
}

export type SendGuarded = (request: GuardedRequest) => Promise<GuardedAnswer>;

/** Of each family: one request must not knock at all that a name may have, which are thousands. */
const mostTried = 2;

/** Has all addresses looked up, whatever Node was started with. Types of http do not know it. */
const allAddresses = { autoSelectFamily: true };

/**
 * Sends requests only to addresses that the guard has checked: to the next one where the first does
 * not take the connection. Redirects are not followed, because their targets are not checked. The
 * timeout includes the look-up of the name.
 */
export function makeSendGuarded(guard: AddressGuard, timeoutMs: number): SendGuarded {
  return async ({ method, url, headers = {}, body = "", signal: earlier }) => {
    const target = new URL(url);
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = earlier === undefined ? timeout : AbortSignal.any([timeout, earlier]);
    // Which of the two it was: a caller may have stopped before the timeout.
    const ending = () =>
      new Error(
        earlier?.aborted
          ? `${target.host} had not answered when the worker stopped`
          : `${target.host} did not answer in ${timeoutMs} ms`,
      );
    const judged = await orAborted(guard(target.hostname), signal, ending);
    const lookup: LookupFunction = (_host, _options, answer) => answer(null, toTry(judged));
    const request = target.protocol === "https:" ? httpsRequest : httpRequest;
    const status = await new Promise<number>((resolve, reject) => {
      const sent = request(
        target,
        {
          method,
          agent: false,
          lookup,
          ...allAddresses,
          signal,
          headers: { "user-agent": "storage-qos", ...headers },
        },
        (response) => resolve(statusOf(response)),
      );
      sent.on("error", (error) => reject(signal.aborted ? ending() : spelledOut(error)));
      // Without it a receiver that answers 101 would never end the request.
      sent.on("upgrade", (response, socket) => {
        socket.destroy();
        resolve(statusOf(response));
      });
      sent.end(body);
    });
    return { host: target.host, status };
  };
}

function toTry(judged: readonly Address[]): Address[] {
  const seen = { 4: 0, 6: 0 };
  return judged.filter(({ family }) => ++seen[family] <= mostTried);
}

/** Where no address of a name takes the connection, the error has a code and an empty message. */
function spelledOut(error: Error): Error {
  if (!(error instanceof AggregateError)) return error;
  return new Error(error.errors.map(({ message }) => message).join("; "), { cause: error });
}

/** The body is not read, so that its length does not matter. */
function statusOf(response: IncomingMessage): number {
  response.destroy();
  return response.statusCode ?? 0;
}
