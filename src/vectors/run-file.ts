import type { Sql } from "../postgres/connect.ts";
import { answerStep } from "./answer-step.ts";
import type { Answer, VectorFile } from "./format.ts";
import { loadWorld } from "./load-world.ts";
import { Scene } from "./scene.ts";

/** Answers every step of a vector file, in an empty database that is its own. */
export async function runFile(sql: Sql, file: VectorFile, json: string): Promise<Answer[]> {
  const scene = new Scene(sql, file, await loadWorld(sql, json));
  const answers: Answer[] = [];
  for (const step of file.steps) answers.push(await answerStep(scene, step));
  return answers;
}
