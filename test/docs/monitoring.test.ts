import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { repeatedTasks, schedule } from "../../src/worker/schedule.ts";
import { startWorker } from "../../src/worker/worker.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();

interface Dashboard {
  readonly panels: readonly { readonly targets: readonly { readonly expr: string }[] }[];
}

function dashboardQueries(): string[] {
  const text = readFileSync(projectPath("docs/monitoring/worker-dashboard.json"), "utf8");
  const dashboard = JSON.parse(text) as Dashboard;
  return dashboard.panels.flatMap((panel) => panel.targets.map((target) => target.expr));
}

function ruleQueries(): string[] {
  const text = readFileSync(projectPath("docs/monitoring/worker-rules.yml"), "utf8");
  return [...text.matchAll(/^ +expr: (.+)$/gm)].map((match) => match[1] ?? "");
}

const metricsOf = (query: string) => query.match(/\b(?:storage_qos_\w+|up)\b/g) ?? [];

async function scrapeWorker(): Promise<string> {
  const worker = await startWorker({
    databaseUrl: database.urlAs("rate_limiter_worker"),
    http: { host: "127.0.0.1", port: 0 },
  });
  const text = await (await fetch(`${worker.url}/metrics`)).text();
  await worker.stop();
  return text;
}

/** Of a database in which nothing has happened yet. */
const firstScrape = await scrapeWorker();

/** What a worker really tells; a gauge that is declared and has no value is not told. */
async function toldMetrics(): Promise<Set<string>> {
  await database.sql`select rate_limiter_private.verify_ledger()`;
  await database.sql`
    insert into rate_limiter.clusters (name, region, health_status) values ('c', 'r', 'healthy')
    on conflict do nothing
  `;
  const text = await scrapeWorker();
  const hasValue = new Set([...text.matchAll(/^\w+/gm)].map(([name]) => name));
  const names = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = "", type]) => {
    if (type === "histogram") return [`${name}_bucket`, `${name}_count`, `${name}_sum`];
    return type === "gauge" && !hasValue.has(name) ? [] : [name];
  });
  // Prometheus makes this one itself, for each target.
  return new Set([...names, "up"]);
}

test("every query of the dashboard and of the rules asks for metrics that there are", async () => {
  const queries = [...dashboardQueries(), ...ruleQueries()];
  expect(queries.length).toBeGreaterThan(20);
  const told = await toldMetrics();
  const unknown = queries.flatMap(metricsOf).filter((name) => !told.has(name));
  expect(unknown).toEqual([]);
  expect(queries.filter((query) => metricsOf(query).length === 0)).toEqual([]);
});

test("every metric that is told of the database is on the dashboard", async () => {
  const shown = dashboardQueries().join("\n");
  const told = [...(await toldMetrics())].filter((name) => !/^up$|_(count|sum)$/.test(name));
  expect(told.filter((name) => !shown.includes(name))).toEqual([]);
});

/** What a rule makes of no value, where no rule says that there is none. */
const absentForGood: Readonly<Record<string, string>> = {
  storage_qos_cluster_health: "no cluster is probed",
  storage_qos_cluster_health_age_seconds: "no cluster is probed",
  storage_qos_clusters_by_health: "no cluster is probed",
  storage_qos_buckets_in_debt: "there are no buckets",
  storage_qos_task_failures_total:
    "nothing has failed, and more than the first failure is asked for",
  storage_qos_tasks_busy_total: "nothing was busy, and more than the first time is asked for",
  storage_qos_uncharged_operations: "every charge was made",
  storage_qos_login_settings: "no login has settings of its own",
  storage_qos_ledger_gaps: "the ledger was never checked, which StorageQosLedgerNeverChecked says",
};

test("what a rule asks for and a first scrape has not, another rule says is absent", () => {
  const told = new Set([...firstScrape.matchAll(/^(?!#)\w+/gm)].map(([name]) => name));
  expect(told).toContain("storage_qos_database_up");
  const missing = new Set(
    ruleQueries()
      .flatMap(metricsOf)
      .filter((name) => name !== "up" && !told.has(name)),
  );
  const isSaid = (name: string) => ruleQueries().some((query) => query.includes(`absent(${name})`));
  expect([...missing].filter((name) => !isSaid(name) && !(name in absentForGood))).toEqual([]);
});

/** Seconds from one run to the next, of the schedules that there are. */
function intervalOf(at: string): number {
  const [minute = "", hour = ""] = at.split(" ");
  const every = /^\*(?:\/(\d+))?$/.exec(minute);
  if (every !== null) return 60 * Number(every[1] ?? 1);
  return hour === "*" ? 3_600 : 86_400;
}

test("each task that runs by the clock is told of from the start, and an alert says when it is late", () => {
  const told = [
    ...firstScrape.matchAll(
      /^storage_qos_task_last_success_timestamp_seconds\{task="(\w+)"(?:,grain="(\w+)")?\} \d+$/gm,
    ),
  ].map(([, task, grain]) => (grain === undefined ? { task } : { task, grain }));
  expect(told).toHaveLength(repeatedTasks.length);
  expect(told).toEqual(expect.arrayContaining([...repeatedTasks]));
  const limits = new Map(
    ruleQueries().flatMap((query) => {
      const [, tasks, limit] = /last_success\w+\{task=~"(.+?)"\}\) > (\d+)$/.exec(query) ?? [];
      return (tasks?.split("|") ?? []).map((task) => [task, Number(limit)] as const);
    }),
  );
  expect(new Set(limits.keys())).toEqual(new Set(repeatedTasks.map(({ task }) => task)));
  for (const { task, at } of schedule) expect(limits.get(task)).toBeGreaterThan(intervalOf(at));
});

const runbooks = readFileSync(projectPath("docs/runbooks.md"), "utf8");
const rulesOf = (file: string) =>
  readFileSync(projectPath(`docs/monitoring/${file}`), "utf8")
    .split("- alert: ")
    .slice(1);

test.each(["worker-rules.yml", "api-rules.yml"])(
  "every rule of %s says how bad it is and what to do, and names its runbook",
  (file) => {
    const rules = rulesOf(file);
    expect(rules.length).toBeGreaterThan(5);
    for (const rule of rules) {
      const name = rule.split("\n", 1)[0] ?? "";
      expect(rule).toMatch(/severity: (warning|critical) /);
      expect(rule).toMatch(/summary: \S/);
      expect(rule).toMatch(/action: \S/);
      expect(rule).toContain(`runbook: docs/runbooks.md#${name.toLowerCase()}\n`);
      expect(runbooks).toContain(`\n### ${name}\n\n`);
    }
  },
);

test("every runbook is of an alert", () => {
  const alerts = ["worker-rules.yml", "api-rules.yml"].flatMap(rulesOf);
  const names = alerts.map((rule) => rule.split("\n", 1)[0]);
  const sections = [...runbooks.matchAll(/^### (\w+)$/gm)].map(([, name]) => name);
  expect(sections.filter((name) => !names.includes(name))).toEqual([]);
});

test("the rules and the dashboard of the API ask for what it tells, and show all of it", () => {
  const dashboard = readFileSync(projectPath("docs/monitoring/api-dashboard.json"), "utf8");
  const text = `${dashboard}${rulesOf("api-rules.yml").join("")}`;
  const told = readFileSync(projectPath("src/api/metrics/metrics.ts"), "utf8");
  const names = [...told.matchAll(/`\$\{prefix\}(\w+)`|gauge\("(\w+)"/g)].map(
    ([, one, other]) => `storage_qos_api_${one ?? other}`,
  );
  const asked = [...text.matchAll(/storage_qos_api_\w+/g)].map(([name]) =>
    name.replace(/_seconds_bucket$/, "_seconds"),
  );
  expect(names.length).toBeGreaterThan(8);
  expect(asked.filter((name) => !names.includes(name))).toEqual([]);
  expect(names.filter((name) => !dashboard.includes(name))).toEqual([]);
});

test("every statement of the runbooks runs as rate_limiter_readonly, or any login", async () => {
  const reader = await database.session("reader", "rate_limiter_readonly");
  const blocks = [...runbooks.matchAll(/\n\n(( {4}select [^;]+);)/g)].map(([, , text]) => text);
  const inline = [...runbooks.matchAll(/`(select [^`]+)`/g)].map(([, text]) => text);
  const statements = [...blocks, ...inline].filter((text) => !text?.includes("terminate"));
  expect(statements.length).toBeGreaterThan(6);
  for (const statement of statements) await reader.sql.unsafe(statement ?? "");
});
