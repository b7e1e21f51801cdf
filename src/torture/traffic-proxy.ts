import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { Random } from "../random.ts";

/** What becomes of traffic: `reorder` delays each connection differently, in its own order. */
export type ProxyMode = "pass" | "cut" | "delay" | "swallow" | "reorder";

/** A TCP way to the database of now, that can be disturbed. */
export class TrafficProxy {
  readonly #sockets = new Set<Socket>();
  readonly #random: Random;
  readonly #server: Server;
  #mode: ProxyMode = "pass";
  #targetPort: number;
  /** Connections of an earlier generation pass nothing any more. */
  #generation = 0;

  private constructor(targetPort: number, seed: number) {
    this.#targetPort = targetPort;
    this.#random = new Random(seed);
    this.#server = createServer((near) => this.#accept(near));
  }

  static async open(targetPort: number, seed: number): Promise<TrafficProxy> {
    const proxy = new TrafficProxy(targetPort, seed);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The way leads to another server from now on; what was open is cut. */
  leadTo(port: number): void {
    this.#targetPort = port;
    this.#destroyAll();
  }

  disturb(mode: ProxyMode): void {
    this.#mode = mode;
    if (mode === "cut") this.#destroyAll();
    if (mode === "swallow") this.#generation += 1;
  }

  /** Connections that swallowed something stay silent, as behind a firewall that forgot them. */
  mend(): void {
    this.#mode = "pass";
  }

  /** Takes no connection any more, and leaves those that are open. */
  close(): void {
    this.#server.close();
    this.#destroyAll();
  }

  #accept(near: Socket): void {
    this.#track(near);
    if (this.#mode === "cut") {
      near.destroy();
      return;
    }
    const far = connect(this.#targetPort, "127.0.0.1");
    this.#track(far);
    const generation = this.#generation;
    const holdMs = this.#random.between(1, 60);
    this.#pass(near, far, generation, holdMs);
    this.#pass(far, near, generation, holdMs);
  }

  #pass(from: Socket, to: Socket, generation: number, holdMs: number): void {
    let last = Promise.resolve();
    from.on("data", (data) => {
      if (generation !== this.#generation || this.#mode === "swallow") return;
      const delay = this.#mode === "delay" ? 40 : this.#mode === "reorder" ? holdMs : 0;
      const before = last;
      const wait = delay === 0 ? before : after(delay).then(() => before);
      last = wait.then(() => void (to.destroyed || to.write(data)));
    });
    from.on("close", () => {
      if (generation === this.#generation) void last.then(() => to.destroy());
    });
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  }

  #destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
