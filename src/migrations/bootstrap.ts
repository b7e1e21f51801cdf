import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { logFor } from "../log.ts";
import { projectPath } from "../paths.ts";
import type { Sql } from "../postgres/connect.ts";
import { UserError } from "../user-error.ts";

const log = logFor("bootstrap");
const planQuery = readFileSync(projectPath("db/bootstrap/plan.sql"), "utf8");

/** Roles are the whole server's, so bootstraps of two databases may meet at the same moment. */
const raced = new Set(["42710", "23505", "XX000"]);
const attempts = 20;

/** Makes the roles, memberships and grants that the migrations need, as far as they are missing. */
export async function bootstrap(sql: Sql): Promise<void> {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const plan = await readPlan(sql);
    if (plan.length === 0) return;
    if (await executeStep(sql, plan)) return confirm(sql);
    await sleep(20 * attempt * Math.random());
  }
  throw new UserError("bootstrap_contended", "other sessions keep changing the same roles");
}

async function readPlan(sql: Sql): Promise<string[]> {
  const rows = await sql.unsafe<{ statement: string }[]>(planQuery);
  return rows.map((row) => row.statement);
}

/** False when another session was in the way: the rest is planned anew. */
async function executeStep(sql: Sql, plan: readonly string[]): Promise<boolean> {
  for (const [index, statement] of plan.entries()) {
    try {
      await sql.unsafe(statement);
      log.debug({ statement }, "bootstrapped");
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "42501") throw forbidden(plan.slice(index), error);
      if (code === undefined || !raced.has(code)) throw error;
      return false;
    }
  }
  return true;
}

/** Who may not grant a right on a database, and has another one there, is only warned. */
async function confirm(sql: Sql): Promise<void> {
  const left = await readPlan(sql);
  if (left.length > 0) throw forbidden(left);
}

function forbidden(statements: readonly string[], cause?: unknown): UserError {
  return new UserError(
    "bootstrap_forbidden",
    "this login may not prepare the database: roles, memberships or grants are missing",
    [
      "Let a database administrator run this in the same database, then try again:",
      ...statements.map((statement) => `  ${statement};`),
    ].join("\n"),
    { cause },
  );
}
