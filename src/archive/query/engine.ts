import type { DuckDBConnection } from "@duckdb/node-api";
import { InputError } from "../../user-error.ts";

/** DuckDB in memory, which fetches nothing from the network. */
export async function withEngine<T>(use: (engine: DuckDBConnection) => Promise<T>): Promise<T> {
  const { DuckDBInstance } = await loadEngine();
  const instance = await DuckDBInstance.create(":memory:", {
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
  });
  const engine = await instance.connect();
  try {
    await engine.run("set timezone = 'UTC'");
    return await use(engine);
  } finally {
    engine.closeSync();
    instance.closeSync();
  }
}

async function loadEngine() {
  try {
    return await import("@duckdb/node-api");
  } catch (cause) {
    throw new InputError(
      "duckdb_missing",
      "archives are queried by DuckDB, which is not installed",
      "Install it beside storage-qos: npm install @duckdb/node-api",
      { cause },
    );
  }
}

/** From here on it reads the files of this folder, writes this file alone, and keeps it so. */
export async function confine(
  engine: DuckDBConnection,
  folder: string,
  written: string | undefined,
): Promise<void> {
  await engine.run(`set allowed_directories = ${list([folder])}`);
  await engine.run(`set allowed_paths = ${list(written === undefined ? [] : [written])}`);
  await engine.run("set enable_external_access = false");
  await engine.run("set lock_configuration = true");
}

export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function list(texts: readonly string[]): string {
  return `[${texts.map(literal).join(", ")}]`;
}
