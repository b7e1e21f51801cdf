import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { taskNames } from "../../src/worker/load-tasks.ts";
import { cronItems, schedule } from "../../src/worker/schedule.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();

test("each task is named like the SQL function that it calls, which the worker may call", async () => {
  const rows = await database.sql<{ name: string }[]>`
    select distinct p.proname as name
    from pg_proc as p
    where p.pronamespace = 'rate_limiter_private'::regnamespace
      and has_function_privilege('rate_limiter_worker', p.oid, 'execute')
  `;
  const functions = rows.map((row) => row.name);
  expect(taskNames().filter((name) => !functions.includes(name))).toEqual([]);
});

test("the clock runs tasks that there are, each under a name of its own", () => {
  const known = taskNames();
  expect(schedule.map(({ task }) => task).filter((task) => !known.includes(task))).toEqual([]);
  // Each notification and invitation queues its own delivery, a suspension its rest, and
  // record_system_metrics the evaluation; a task that nothing else runs is of no use.
  const queued = [
    "deliver_notification",
    "finish_suspension",
    "send_invitation",
    "evaluate_alerts",
  ];
  const run = [...schedule.map(({ task }) => task), ...queued];
  expect(known.filter((task) => !run.includes(task))).toEqual([]);
  const identifiers = cronItems().map((item) => item.identifier);
  expect(new Set(identifiers).size).toBe(identifiers.length);
});

test("a test of a task begins with its name", () => {
  const files = readdirSync(import.meta.dirname).filter((file) => file !== "tasks.test.ts");
  const names = taskNames().map((task) => task.replaceAll("_", "-"));
  expect(files.length).toBeGreaterThan(5);
  expect(files.filter((file) => !names.some((name) => file.startsWith(name)))).toEqual([]);
});
