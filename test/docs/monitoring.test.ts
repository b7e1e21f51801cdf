import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { startWorker } from "../../src/worker/worker.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();

interface Dashboard {
  readonly panels: readonly { readonly targets: readonly { readonly expr: string }[] }[];
}

function dashboardQueries(): string[] {
  const text = readFileSync(projectPath("docs/monitoring/grafana-dashboard.json"), "utf8");
  const dashboard = JSON.parse(text) as Dashboard;
  return dashboard.panels.flatMap((panel) => panel.targets.map((target) => target.expr));
}

function ruleQueries(): string[] {
  const text = readFileSync(projectPath("docs/monitoring/prometheus-rules.yml"), "utf8");
  return [...text.matchAll(/^ +expr: (.+)$/gm)].map((match) => match[1] ?? "");
}

const metricsOf = (query: string) => query.match(/\b(?:storage_qos_\w+|up)\b/g) ?? [];

/** What a worker really tells; a gauge that is declared and has no value is not told. */
async function toldMetrics(): Promise<Set<string>> {
  await database.sql`select rate_limiter_private.verify_ledger()`;
  await database.sql`
    insert into rate_limiter.clusters (name, region, health_status) values ('c', 'r', 'healthy')
    on conflict do nothing
  `;
  const worker = await startWorker({
    databaseUrl: database.urlAs("rate_limiter_worker"),
    http: { host: "127.0.0.1", port: 0 },
  });
  const text = await (await fetch(`${worker.url}/metrics`)).text();
  await worker.stop();
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

test("every rule says how bad it is and what to do", () => {
  const text = readFileSync(projectPath("docs/monitoring/prometheus-rules.yml"), "utf8");
  const rules = text.split("- alert: ").slice(1);
  expect(rules.length).toBe(ruleQueries().length);
  for (const rule of rules) {
    expect(rule).toMatch(/severity: (warning|critical) /);
    expect(rule).toMatch(/summary: \S/);
    expect(rule).toMatch(/action: \S/);
  }
});

test("every rule names its runbook, which tells what to look at", () => {
  const rules = readFileSync(projectPath("docs/monitoring/prometheus-rules.yml"), "utf8");
  const guide = readFileSync(projectPath("docs/operate.md"), "utf8");
  const runbook = guide.split("\n## When something is wrong\n")[1] ?? "";
  for (const rule of rules.split("- alert: ").slice(1)) {
    const name = rule.split("\n", 1)[0] ?? "";
    expect([name, rule.includes("runbook: docs/operate.md#when-something-is-wrong")]).toEqual([
      name,
      true,
    ]);
    expect([name, runbook.includes(`\`${name}\``)]).toEqual([name, true]);
  }
});
