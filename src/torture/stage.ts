import type { Sql } from "../postgres/connect.ts";
import type { TorturedGateway } from "./gateway.ts";
import type { Process } from "./processes.ts";
import type { TortureServer } from "./server.ts";
import type { TrafficProxy } from "./traffic-proxy.ts";
import type { World } from "./world.ts";

/** What faults act on. */
export interface Stage {
  readonly server: TortureServer;
  /** One way to the database for each kind of caller. */
  readonly proxies: readonly TrafficProxy[];
  readonly clients: readonly Process[];
  readonly workers: readonly Process[];
  /** Absent in a run without it. */
  readonly api: Process | undefined;
  /** Absent where nginx is not installed. */
  readonly gateway: TorturedGateway | undefined;
  readonly world: World;
  /** When the database lost what was under way: grows with crashes and failovers. */
  readonly losses: number[];
  /** Seconds that the database's clock was set ahead, or back where negative. */
  readonly steps: number[];
  /** Answers given to keys after they were revoked. */
  readonly surprise: (what: string) => void;
  /** Runs statements as the superuser, on a connection of its own past the proxies. */
  withOwner<T>(use: (sql: Sql) => Promise<T>): Promise<T>;
}
