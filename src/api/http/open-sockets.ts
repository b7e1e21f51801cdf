import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { ApiError } from "../api-error.ts";
import { partyOf } from "../fairness/party.ts";
import type { ApiRequest } from "../request.ts";

export interface OpenSockets {
  /** How many there are, and what they follow. */
  readonly open: number;
  readonly followed: number;
  /** False where a limit is reached; the socket is then closed. */
  admit(message: IncomingMessage, socket: Duplex, address: string): boolean;
  /** The protocol's view of a socket: what it follows at the moment. */
  follows(message: IncomingMessage, subscriptions: Readonly<Record<string, unknown>>): void;
  /** Notes who signed in on a socket; throws QS429 where that user or tenant follows too much. */
  signedIn(message: IncomingMessage, request: ApiRequest): void;
  /** Closes all sockets and admits no more, so that clients reconnect elsewhere. */
  close(): void;
}

export interface SocketLimits {
  readonly maxSockets: number;
  readonly maxSocketsOfAddress: number;
  readonly maxSocketsOfUser: number;
  readonly maxFollowedByUser: number;
  readonly maxFollowedByTenant: number;
  /** Within this time a socket follows something as a user who is signed in, or it is closed. */
  readonly socketSignInMs: number;
  readonly maxBodyBytes: number;
}

/** The most that a client may send over a socket in all. */
const requestsOfOneSocket = 20;

interface OpenSocket {
  readonly address: string;
  user?: string;
  tenant?: string;
  subscriptions?: Readonly<Record<string, unknown>>;
}

export function openSockets(limits: SocketLimits): OpenSockets {
  const open = new Map<Duplex, OpenSocket>();
  let isClosing = false;

  const those = (is: (socket: OpenSocket) => boolean) => [...open.values()].filter(is);
  const followed = (sockets: readonly OpenSocket[]) =>
    sockets.reduce((sum, { subscriptions = {} }) => sum + Object.keys(subscriptions).length, 0);

  function isFull(address: string): boolean {
    const ofAddress = those((socket) => socket.address === address && socket.user === undefined);
    return (
      isClosing || open.size >= limits.maxSockets || ofAddress.length >= limits.maxSocketsOfAddress
    );
  }

  function refuseTooMany(user: string, tenant: string): void {
    const ofUser = those((socket) => socket.user === user);
    if (ofUser.length > limits.maxSocketsOfUser) {
      const hint = `Open ${limits.maxSocketsOfUser} sockets at once at most.`;
      throw new ApiError("QS429", "too many sockets", hint);
    }
    if (followed(ofUser) > limits.maxFollowedByUser) {
      const hint = `Follow ${limits.maxFollowedByUser} things at once at most.`;
      throw new ApiError("QS429", "too many subscriptions", hint);
    }
    if (followed(those((socket) => socket.tenant === tenant)) > limits.maxFollowedByTenant) {
      const hint = `The users of a tenant follow ${limits.maxFollowedByTenant} things at most.`;
      throw new ApiError("QS429", "too many subscriptions", hint);
    }
  }

  return {
    get open() {
      return open.size;
    },
    get followed() {
      return followed([...open.values()]);
    },
    admit(_message, socket, address) {
      if (isFull(address)) {
        socket.destroy();
        return false;
      }
      const opened: OpenSocket = { address };
      open.set(socket, opened);
      const signIn = setTimeout(() => {
        if (opened.user === undefined) socket.destroy();
      }, limits.socketSignInMs);
      socket.once("close", () => {
        clearTimeout(signIn);
        open.delete(socket);
      });
      limitBytes(socket, limits.maxBodyBytes * requestsOfOneSocket);
      return true;
    },
    follows({ socket }, subscriptions) {
      const opened = open.get(socket);
      if (opened !== undefined) opened.subscriptions = subscriptions;
    },
    signedIn({ socket }, request) {
      const opened = open.get(socket);
      if (opened === undefined || request.identity === undefined) return;
      const { user, tenant } = partyOf(request);
      opened.user = user;
      opened.tenant = tenant;
      refuseTooMany(user, tenant);
    },
    close() {
      isClosing = true;
      for (const socket of open.keys()) socket.destroy();
    },
  };
}

/** The library buffers messages of any size. */
function limitBytes(socket: Duplex, maxBytes: number): void {
  let received = 0;
  socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
    if (received > maxBytes) socket.destroy();
  });
}
