import { readdirSync, readFileSync } from "node:fs";
import type { Sql } from "../postgres/connect.ts";

/** Creates the functions of a folder, one a file: for a tool's own database, no migration has them. */
export async function loadFunctions(sql: Sql, folder: URL): Promise<void> {
  const files = readdirSync(folder).filter((name) => name.endsWith(".sql"));
  const texts = files.map((name) => readFileSync(new URL(name, folder), "utf8"));
  // A body may name a function of a file that comes later.
  await sql.unsafe(`set check_function_bodies = off; ${texts.join("\n")}`).simple();
}
