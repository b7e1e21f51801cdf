import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import type { Bench } from "./types.ts";

export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryGb: number;
  readonly platform: string;
  readonly node: string;
  readonly postgresql: string;
  /** PostgreSQL's settings that are not its defaults. */
  readonly settings: Readonly<Record<string, string>>;
  readonly loadGenerator: string;
  /** Load average before the run: other work on the machine makes every figure smaller. */
  readonly loadBefore: number;
  readonly measuredAt: string;
}

export async function describeMachine({ sql, driver }: Bench): Promise<Machine> {
  const rows = await sql<{ name: string; setting: string }[]>`
    select name, current_setting(name) as setting
    from pg_settings
    where source in ('configuration file', 'command line') and category !~ '^(File|Preset|Client)'
      and name !~ '^(port|listen_addresses|unix_socket|log_|hba|ssl|lc_|cluster_name)'
    order by name
  `;
  const [version] = await sql<[{ version: string }]>`
    select current_setting('server_version') as version
  `;
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? "unknown",
    memoryGb: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    postgresql: version.version,
    settings: Object.fromEntries(rows.map(({ name, setting }) => [name, setting])),
    loadGenerator: driver.name,
    loadBefore: loadavg()[0] ?? 0,
    measuredAt: new Date().toISOString(),
  };
}
