import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { LookupFunction } from "node:net";
import type { AddressGuard } from "./address-guard.ts";
import { PermanentFailure } from "./failure.ts";

export type Post = (
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
) => Promise<void>;

/** Told to come later, or that it took too long: everything else below 500 is told for good. */
const passingStatuses = [408, 425, 429];

/**
 * Posts JSON to an address that the guard has let through. A redirect is not followed: its target
 * would have to be judged as well, and a receiver of notices has no need of one.
 */
export function makePost(guard: AddressGuard, timeoutMilliseconds: number): Post {
  return async (url, body, headers) => {
    const target = new URL(url);
    const pinned = await guard(target.hostname);
    const lookup: LookupFunction = (_host, options, answer) =>
      options.all ? answer(null, [pinned]) : answer(null, pinned.address, pinned.family);
    const request = target.protocol === "https:" ? httpsRequest : httpRequest;
    const signal = AbortSignal.timeout(timeoutMilliseconds);
    const status = await new Promise<number>((resolve, reject) => {
      const sent = request(
        target,
        {
          method: "POST",
          agent: false,
          lookup,
          signal,
          headers: {
            "content-type": "application/json",
            "content-length": Buffer.byteLength(body),
            "user-agent": "storage-qos",
            ...headers,
          },
        },
        (response) => resolve(statusOf(response)),
      );
      const late = new Error(`${target.host} did not answer in ${timeoutMilliseconds} ms`);
      sent.on("error", (error) => reject(signal.aborted ? late : error));
      // Else nothing would tell of a receiver that wants to go on in another protocol.
      sent.on("upgrade", (response, socket) => {
        socket.destroy();
        resolve(statusOf(response));
      });
      sent.end(body);
    });
    judge(status, target);
  };
}

/** What the receiver says besides is nobody's business: not read, so that it cannot be endless. */
function statusOf(response: IncomingMessage): number {
  response.destroy();
  return response.statusCode ?? 0;
}

function judge(status: number, { host }: URL): void {
  if (status >= 200 && status < 300) return;
  const message = `${host} answered ${status}`;
  if (status >= 500 || passingStatuses.includes(status)) throw new Error(message);
  throw new PermanentFailure(message);
}
