import { InputError } from "../user-error.ts";
import { taskNames } from "../worker/load-tasks.ts";

export function checkTask(task: string): void {
  const known = taskNames();
  if (known.includes(task)) return;
  throw new InputError("unknown_task", `unknown task ${task}`, `Tasks are ${known.join(", ")}.`);
}

export function parsePayload(text: string): object {
  const payload = parse(text);
  if (typeof payload === "object" && payload !== null && !Array.isArray(payload)) return payload;
  throw new InputError(
    "payload_invalid",
    "the payload is not a JSON object",
    'Write an object such as {"grain": "hour"}.',
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
