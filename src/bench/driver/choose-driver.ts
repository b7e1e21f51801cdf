import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Driver } from "./driver.ts";
import { pgbenchDriver } from "./pgbench-driver.ts";
import { postgresDriver } from "./postgres-driver.ts";

const run = promisify(execFile);

/**
 * pgbench where it is installed: it takes a fifth of the processor that Node needs for the same
 * load, so that what is measured is the database.
 */
export async function chooseDriver(): Promise<Driver> {
  try {
    await run("pgbench", ["--version"]);
    return pgbenchDriver;
  } catch {
    return postgresDriver;
  }
}
