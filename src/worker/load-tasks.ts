import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { SpanKind } from "@opentelemetry/api";
import type { Task, TaskList } from "graphile-worker";
import { codeExtension, projectPath } from "../paths.ts";
import { traced } from "../tracing/traced.ts";
import type { WorkerSettings } from "./settings.ts";
import type { MakeTask } from "./task.ts";
import { requirePayload } from "./task-payloads.ts";

const folder = projectPath("tasks");

export function taskNames(): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(codeExtension))
    .map((file) => basename(file, codeExtension));
}

/** A job whose payload does not fit fails with the reason. */
function withPayloadCheck(name: string, task: Task): Task {
  return (payload, helpers) => {
    requirePayload(name, payload);
    return task(payload, helpers);
  };
}

function inJobSpan(name: string, task: Task): Task {
  return (payload, helpers) => {
    const { id, attempts } = helpers.job;
    const attributes = { "job.id": id, "job.task": name, "job.attempt": attempts };
    return traced(`job ${name}`, { attributes, kind: SpanKind.CONSUMER }, async () =>
      task(payload, helpers),
    );
  };
}

/** One task for each file of tasks/, by the file's name. */
export async function loadTasks(settings: WorkerSettings): Promise<TaskList> {
  const tasks: TaskList = {};
  for (const name of taskNames()) {
    const file: { makeTask: MakeTask } = await import(`../../tasks/${name}.ts`);
    tasks[name] = inJobSpan(name, withPayloadCheck(name, file.makeTask(settings)));
  }
  return tasks;
}
