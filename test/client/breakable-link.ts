import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A link to the database that can be cut, or made to swallow everything. */
export interface BreakableLink {
  readonly url: string;
  cut(): void;
  /** Connections stay open, and nothing comes through any more. */
  swallow(): void;
  /** Connections of now pass nothing any more, without a reset; new ones work. */
  forget(): void;
  /** What is asked reaches the database, and its connection ends before the answer is back. */
  loseAnswers(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function breakableLink(url: string): Promise<BreakableLink> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let state: "whole" | "cut" | "swallowing" | "losing" = "whole";
  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  };
  let generation = 0;
  const pass = (from: Socket, to: Socket, passesMore: () => boolean) => {
    const opened = generation;
    from.on("data", (data) => {
      const passes = state === "whole" || passesMore();
      if (passes && opened === generation) to.write(data);
    });
    from.on("close", () => {
      if (opened === generation) to.destroy();
    });
  };
  const server = createServer((near) => {
    track(near);
    if (state === "cut") {
      near.destroy();
      return;
    }
    const far = connect(Number(target.port), target.hostname);
    track(far);
    pass(near, far, () => state === "losing");
    pass(far, near, () => {
      if (state === "losing") near.destroy();
      return false;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const link = new URL(url);
  link.hostname = "127.0.0.1";
  link.port = String((server.address() as AddressInfo).port);
  const destroyAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: link.href,
    cut() {
      state = "cut";
      destroyAll();
    },
    swallow() {
      state = "swallowing";
    },
    loseAnswers() {
      state = "losing";
    },
    forget() {
      generation += 1;
    },
    mend() {
      if (state === "swallowing") destroyAll();
      state = "whole";
    },
    close() {
      destroyAll();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
