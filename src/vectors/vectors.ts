import type { WithEmptyDatabase } from "../migrations/throwaway-database.ts";
import { withThrowawayDatabase } from "../migrations/throwaway-database.ts";
import { withDatabaseCopy } from "../postgres/database-copy.ts";
import { compare } from "./compare.ts";
import type { Answer, VectorFile } from "./format.ts";
import { malformed, readVectorFile } from "./read-file.ts";
import { runFile } from "./run-file.ts";

export interface VectorsCommand {
  readonly paths: readonly string[];
  readonly check: boolean;
  /** What a program reads, and what a person reads. */
  readonly print: (line: string) => void;
  readonly tell: (line: string) => void;
}

interface Input {
  readonly path: string;
  readonly file: VectorFile;
  readonly json: string;
}

/** Answers vector files, or checks the answers they expect; tells whether all were as expected. */
export async function runVectors(
  command: VectorsCommand,
  withEmptyDatabase: WithEmptyDatabase = withThrowawayDatabase,
): Promise<boolean> {
  const inputs: Input[] = [];
  for (const path of command.paths) inputs.push(await readInput(path, command.check));
  let passed = true;
  await withEmptyDatabase(async ({ url }) => {
    for (const input of inputs) {
      const answers = await withDatabaseCopy(url, (sql) => runFile(sql, input.file, input.json));
      if (command.check) passed = check(input, answers, command.tell) && passed;
      else command.print(JSON.stringify({ file: input.path, answers }));
    }
  });
  return passed;
}

async function readInput(path: string, check: boolean): Promise<Input> {
  const { file, json } = await readVectorFile(path);
  if (check && file.expect === undefined) throw malformed(path, "it has no expect to check");
  return { path, file, json };
}

function check({ path, file }: Input, answers: readonly Answer[], tell: (line: string) => void) {
  const { differences, shown } = compare(file, answers);
  const as = differences === 0 ? "as expected" : `of ${answers.length} answers differ`;
  tell(`${path}: ${differences === 0 ? answers.length : differences} ${as}`);
  for (const difference of shown) tell(difference);
  return differences === 0;
}
