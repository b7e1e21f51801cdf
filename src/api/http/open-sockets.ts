import type { Duplex } from "node:stream";

export interface OpenSockets {
  /** False for one too many, which is closed. */
  admit(socket: Duplex): boolean;
  /** Closes them all and admits no more: their clients connect elsewhere. */
  close(): void;
}

/** What a client sends over a socket in all: subscriptions are few, and small as requests are. */
const requestsOfOneSocket = 20;

export function openSockets(limits: {
  readonly maxSockets: number;
  readonly maxBodyBytes: number;
}): OpenSockets {
  const open = new Set<Duplex>();
  let isClosing = false;
  return {
    admit(socket) {
      if (isClosing || open.size >= limits.maxSockets) {
        socket.destroy();
        return false;
      }
      open.add(socket);
      socket.once("close", () => open.delete(socket));
      limitBytes(socket, limits.maxBodyBytes * requestsOfOneSocket);
      return true;
    },
    close() {
      isClosing = true;
      for (const socket of open) socket.destroy();
    },
  };
}

/** The library behind would take a message of any size into memory. */
function limitBytes(socket: Duplex, maxBytes: number): void {
  let received = 0;
  socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
    if (received > maxBytes) socket.destroy();
  });
}
