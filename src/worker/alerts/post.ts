import { type GuardedAnswer, makeSendGuarded } from "../guarded-request.ts";
import type { AddressGuard } from "./address-guard.ts";
import { PermanentFailure } from "./failure.ts";

export type Post = (
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
  signal?: AbortSignal,
) => Promise<void>;

/** Statuses that a retry may change; all others below 500 are permanent. */
const passingStatuses = [408, 425, 429];

/** Posts JSON to an address that the guard has let through. */
export function makePost(guard: AddressGuard, timeoutMs: number): Post {
  const send = makeSendGuarded(guard, timeoutMs);
  return async (url, body, headers, signal) => {
    const length = String(Buffer.byteLength(body));
    judge(
      await send({
        method: "POST",
        url,
        body,
        headers: { "content-type": "application/json", "content-length": length, ...headers },
        ...(signal && { signal }),
      }),
    );
  };
}

function judge({ status, host }: GuardedAnswer): void {
  if (status >= 200 && status < 300) return;
  const message = `${host} answered ${status}`;
  if (status >= 500 || passingStatuses.includes(status)) throw new Error(message);
  throw new PermanentFailure(message);
}
