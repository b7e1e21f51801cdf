import type { Sql } from "../postgres/connect.ts";
import { loadWorld } from "../worlds/load-world.ts";
import { NameRegistry } from "../worlds/name-registry.ts";
import { answerStep } from "./answer-step.ts";
import type { Answer, VectorFile } from "./format.ts";

/** Answers every step of a vector file, in an empty database that is its own. */
export async function runFile(sql: Sql, file: VectorFile, json: string): Promise<Answer[]> {
  const names = new NameRegistry(sql, file, await loadWorld(sql, json));
  const answers: Answer[] = [];
  for (const step of file.steps) answers.push(await answerStep(names, step));
  return answers;
}
