import { demoOwner } from "./seed-demo.ts";
import { shellWord } from "./shell.ts";
import type { DatabaseStatus, Status } from "./status.ts";

/** The status for people, with what the greeting told and without what is shown once. */
export function describeStatus(status: Status): string {
  return [`storage-qos ${status.version}, Node ${status.node}`, "", ...lines(status)]
    .map((line) => line.trimEnd())
    .join("\n");
}

function lines({ api, database, data, port, demoKey, startedAt, workerUrl }: Status): string[] {
  const known = "url" in database;
  return [
    line("Console and admin API", `${api.url}  ${api.health}`),
    ...(known
      ? [
          line("Worker", `${database.workers > 0 ? "runs" : "does not run"}  ${workerUrl ?? ""}`),
          line("Database", describeDatabase(database)),
          line("", database.url),
          line("Administrators", database.administrators.join(", ") || "none"),
          line("", "a lost password: npx storage-qos reset-password EMAIL"),
        ]
      : [line("Database", database.problem)]),
    ...(demoKey ? [line("API key", demoKey), line("", `of ${demoOwner}`)] : []),
    ...(data ? [line("Data", data.folder), line("Logs", `${data.serviceLog}, ${data.log}`)] : []),
    ...(data && port ? [line("psql, as a gateway", gatewaySession(data.passwords, port))] : []),
    ...(startedAt ? [line("Started", startedAt)] : []),
  ];
}

function describeDatabase({ serverVersion, schema, isReadOnly }: DatabaseStatus): string {
  return `PostgreSQL ${serverVersion}, schema ${schema}${isReadOnly ? ", takes no writes" : ""}`;
}

function gatewaySession(passwords: string, port: number): string {
  return `PGPASSFILE=${shellWord(passwords)} psql -h 127.0.0.1 -p ${port} -U qos_gateway storage_qos`;
}

function line(name: string, value: string): string {
  return `  ${name.padEnd(23)}  ${value}`;
}
