import type { Sql } from "../../src/postgres/connect.ts";
import { answerStep } from "../../src/vectors/answer-step.ts";
import type { Answer, VectorFile } from "../../src/vectors/format.ts";
import { loadWorld } from "../../src/worlds/load-world.ts";
import { NameRegistry } from "../../src/worlds/name-registry.ts";

const undo = Symbol("undo");

/**
 * Answers a vector file in SQL and leaves no trace: one transaction, rolled back. `inspect` looks
 * at what the steps left behind, before it is gone.
 */
export async function sqlAnswers(
  pool: Sql,
  file: VectorFile,
  inspect: (sql: Sql) => Promise<void> = async () => {},
): Promise<Answer[]> {
  const answers: Answer[] = [];
  try {
    await pool.begin(async (transaction) => {
      const sql = transaction as unknown as Sql;
      const names = new NameRegistry(sql, file, await loadWorld(sql, JSON.stringify(file)));
      for (const step of file.steps) answers.push(await undisturbed(sql, names, step));
      await inspect(sql);
      throw undo;
    });
  } catch (error) {
    if (error !== undo) throw error;
  }
  return answers;
}

/** A refusal aborts its statement alone, as it would without the transaction around it. */
async function undisturbed(sql: Sql, names: NameRegistry, step: VectorFile["steps"][number]) {
  await sql`savepoint step`;
  const answer = await answerStep(names, step);
  if ("error" in answer) await sql`rollback to savepoint step`;
  await sql`release savepoint step`;
  return answer;
}
