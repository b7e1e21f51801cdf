import { connection, connectionLost } from "../api/connection.ts";
import { post } from "../api/post.ts";
import { store } from "../store.ts";
import {
  EndSessionDocument,
  RefreshSessionDocument,
  StartSessionDocument,
} from "./session.operations.ts";

/**
 * `expired`: a page is open whose session has ended. It stays as it is, and what it asked for waits
 * until its user has signed in again.
 */
export type Phase = "unknown" | "out" | "in" | "expired";
export const phase = store<Phase>("unknown");

/** Pages of one browser share the session, and this note of when its access ends. */
const note = "storage-qos.access-ends";

export interface Credentials {
  readonly tenant: string;
  readonly email: string;
  readonly password: string;
  readonly code?: string;
}

export async function signIn(credentials: Credentials): Promise<void> {
  const { startCookieSession } = await post(StartSessionDocument, { input: credentials });
  keep(startCookieSession?.accessTokenExpiresAt);
  phase.set("in");
}

export async function signOut(): Promise<void> {
  await post(EndSessionDocument, {}).catch(() => {});
  localStorage.removeItem(note);
  // What one user saw is not left to the next one.
  location.assign("/");
}

/** As fetch: renews the session where it has ended, and sends the request again. */
export async function withSession(
  input: RequestInfo | URL,
  init: RequestInit = {},
): Promise<Response> {
  const response = await send(input, init);
  if (response.status !== 401) return response;
  await renew();
  return send(input, init);
}

function send(input: RequestInfo | URL, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set("x-cookie-session", "use");
  return fetch(input, { ...init, headers });
}

/** Before something that cannot be sent again by itself, such as a socket. */
export async function renewIfNeeded(): Promise<void> {
  if (accessEnds() - Date.now() < 30_000) await renew();
}

/** Continues the session, or waits until its user has signed in again. */
export async function renew(): Promise<void> {
  if (phase.get() === "expired") {
    await phase.until((now) => now === "in");
    return;
  }
  const before = accessEnds();
  // One page at a time: a token that is used twice ends the session.
  const isRenewed = await navigator.locks.request("storage-qos.session", async () => {
    const isByAnother = accessEnds() > Math.max(before, Date.now());
    return isByAnother || (await refresh());
  });
  if (isRenewed) return;
  phase.set(phase.get() === "unknown" ? "out" : "expired");
  await phase.until((now) => now === "in");
}

async function refresh(): Promise<boolean> {
  try {
    const { refreshCookieSession } = await post(RefreshSessionDocument, {});
    keep(refreshCookieSession?.accessTokenExpiresAt);
    return true;
  } catch (error) {
    if (!(error instanceof TypeError)) return false;
    connectionLost();
    await connection.until((now) => now === "there");
    return refresh();
  }
}

function keep(accessTokenExpiresAt: string | undefined): void {
  if (accessTokenExpiresAt !== undefined) {
    localStorage.setItem(note, String(Date.parse(accessTokenExpiresAt)));
  }
}

function accessEnds(): number {
  return Number(localStorage.getItem(note) ?? 0);
}

/** Whether this browser may have a session at all: asking is spared where it has none. */
export function mayHaveSession(): boolean {
  return accessEnds() > 0;
}

/** Another page of this browser has signed out. */
addEventListener("storage", ({ key, newValue }) => {
  if (key === note && newValue === null) location.assign("/");
});
