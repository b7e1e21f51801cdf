import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { logFor } from "../log.ts";
import { projectPath } from "../paths.ts";
import type { Sql } from "../postgres/connect.ts";

const log = logFor("bootstrap");
const planQuery = readFileSync(projectPath("db/bootstrap/hardening.sql"), "utf8");

const notPermitted = "42501";
/** Another session changed the same rights at the same moment. */
const raced = "XX000";
const attempts = 20;

/**
 * Takes from PUBLIC what the product does not need in this database. Answers the statements that
 * this login may not run: without them the product works, and every login can do more.
 */
export async function harden(sql: Sql): Promise<readonly string[]> {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    if (await runAll(sql, await readPlan(sql))) break;
    await sleep(20 * attempt * Math.random());
  }
  // Who may not revoke a right on a database, and has another one there, is only warned.
  const left = await readPlan(sql);
  if (left.length > 0) {
    log.warn(
      { statements: left.map((statement) => `${statement};`) },
      "every login of this server may make temporary tables or large objects in the database: " +
        "let its owner, or a superuser, run these statements there",
    );
  }
  return left;
}

async function readPlan(sql: Sql): Promise<string[]> {
  const rows = await sql.unsafe<{ statement: string }[]>(planQuery);
  return rows.map((row) => row.statement);
}

/** False when another session was in the way. What is not permitted ends the work of one subject. */
async function runAll(sql: Sql, plan: readonly string[]): Promise<boolean> {
  for (const statement of plan) {
    try {
      await sql.unsafe(statement);
      log.debug({ statement }, "hardened");
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === raced) return false;
      if (code !== notPermitted) throw error;
      // The first grants what the next would take away.
      if (statement.startsWith("grant")) return true;
    }
  }
  return true;
}
