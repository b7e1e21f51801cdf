import { localDeclaration } from "../settings/local.ts";
import { readSettings } from "../settings/read-settings.ts";
import { readDemoKey } from "../start/demo-key.ts";
import { localDataFolder } from "../start/local-database.ts";
import { databaseUrlOr } from "../targets/database-url.ts";
import { InputError } from "../user-error.ts";
import { check } from "./check.ts";
import { consume } from "./consume.ts";
import { handInDenials } from "./hand-in-denials.ts";
import { withDecidingConnection } from "./may-decide.ts";
import { operationNames } from "./operation-names.ts";
import { describeOutcome, type Outcome } from "./report.ts";
import { sizeInBytes } from "./size.ts";
import type { Decision, Question } from "./types.ts";
import { isUnknownOperation, unknownOperation } from "./unknown-operation.ts";

export interface DecideOptions {
  readonly key?: string;
  readonly times?: string;
  readonly json?: boolean;
}

/** The exit code of a denial: a script tells it from an error. */
export const deniedExitCode = 3;

export async function decideCommand(
  decide: "check" | "consume",
  operation: string,
  size: string,
  options: DecideOptions,
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ readonly text: string; readonly isDenied: boolean }> {
  const times = timesOf(options.times);
  const question = { operation, sizeBytes: sizeInBytes(size), apiKey: keyOf(options.key, env) };
  const url = databaseUrlOr("qos_gateway", env);
  const outcome = await withDecidingConnection(url, async (sql) => {
    try {
      if (decide === "check") return await repeat(times, () => check(sql, question));
      const consumed = await repeat(times, () => consume(sql, question));
      if (consumed.denied > 0) await handInDenials(sql);
      return consumed;
    } catch (error) {
      if (!isUnknownOperation(error)) throw error;
      throw unknownOperation(await operationNames(sql), operation, error);
    }
  });
  return { text: textOf(outcome, question, options), isDenied: outcome.denied > 0 };
}

async function repeat(times: number, decide: () => Promise<Decision>): Promise<Outcome> {
  let [allowed, denied] = [0, 0];
  let told: Decision | undefined;
  for (let count = 0; count < times; count++) {
    const decision = await decide();
    if (decision.allowed) allowed++;
    else denied++;
    if (told?.allowed !== false) told = decision;
  }
  return { allowed, denied, decision: told as Decision };
}

function textOf(outcome: Outcome, question: Question, { json }: DecideOptions): string {
  if (!json) return describeOutcome(outcome);
  const { operation, sizeBytes: size_bytes } = question;
  return JSON.stringify({ operation, size_bytes, ...outcome });
}

function timesOf(text = "1"): number {
  const times = Number(text);
  if (Number.isInteger(times) && times >= 1 && times <= 100_000) return times;
  throw new InputError("times_invalid", `invalid number of times: ${text}`, "Give 1 to 100000.");
}

/** The key that is named, else the demo's where `npm start` made one. */
function keyOf(given: string | undefined, env: NodeJS.ProcessEnv): string {
  const key = given || readSettings(env, localDeclaration).apiKey || demoKey(env);
  if (key) return key;
  throw new InputError(
    "api_key_missing",
    "no API key is named",
    "Give one by --key or QOS_API_KEY. People make keys in the admin API (createApiKey).",
  );
}

function demoKey(env: NodeJS.ProcessEnv): string | undefined {
  return env.DATABASE_URL ? undefined : readDemoKey(localDataFolder(env).demoKey);
}
