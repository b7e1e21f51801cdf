import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

const read = (path: string) => readFileSync(projectPath(path), "utf8");
const rules = read("docs/monitoring/gateway-rules.yml").split("- alert: ").slice(1);

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets: readonly { readonly expr: string }[];
  }[];
}

function dashboardQueries(): string[] {
  const dashboard = JSON.parse(read("docs/monitoring/gateway-dashboard.json")) as Dashboard;
  return dashboard.panels.flatMap((panel) => panel.targets.map((target) => target.expr));
}

const metricsOf = (query: string) => query.match(/\b(?:qos_\w+|up)\b/g) ?? [];

/** What the gateway tells, by its own table; `up` is Prometheus's. */
function toldMetrics(): string[] {
  const names = [...read("src/gateway/lua/qos/metrics.lua").matchAll(/^ {2}(qos_\w+) = "/gm)];
  return names.map(([, name = ""]) => name);
}

const withoutSuffix = (name: string) => name.replace(/(_seconds)_bucket$/, "$1");

describe("the dashboard and the rules of the gateway", () => {
  test("ask for metrics that it tells", () => {
    const queries = [
      ...dashboardQueries(),
      ...rules.map((rule) => /expr:(.+?)\n {8}\w/s.exec(rule)?.[1] ?? ""),
    ];
    const known = new Set([...toldMetrics(), "up"]);
    expect(queries.filter((query) => metricsOf(query).length === 0)).toEqual([]);
    const asked = queries.flatMap(metricsOf).map(withoutSuffix);
    expect(asked.filter((name) => !known.has(name))).toEqual([]);
  });

  test("say that its metrics are absent, and see the first event of a counter", () => {
    const queries = rules.map((rule) => /expr:(.+?)\n {8}\w/s.exec(rule)?.[1] ?? "");
    expect(queries.some((query) => query.includes("absent(qos_database_up)"))).toBe(true);
    const counted = queries.filter((query) => query.includes("increase("));
    expect(counted.length).toBeGreaterThan(2);
    // Their series begin with their first event, which increase() does not see.
    for (const query of counted) {
      const [, name] = /increase\((qos_\w+)\[/.exec(query) ?? [];
      expect(query).toContain(`${name} unless ${name} offset`);
    }
  });

  test("show every metric that it tells", () => {
    const shown = new Set(dashboardQueries().flatMap(metricsOf).map(withoutSuffix));
    expect(toldMetrics().filter((name) => !shown.has(name))).toEqual([]);
  });

  test("say how bad each alert is and what to do, and the guide has a section on it", () => {
    const runbook = read("docs/integrate.md").split("### Alerts of the gateway")[1] ?? "";
    expect(rules.length).toBeGreaterThan(5);
    for (const rule of rules) {
      const [name = ""] = rule.split("\n");
      expect(rule).toMatch(/severity: (warning|critical) /);
      expect(rule).toMatch(/summary: \S/);
      expect(rule).toMatch(/action: \S/);
      expect(rule).toContain(`runbook: docs/integrate.md#${name.toLowerCase()}\n`);
      expect(runbook.split(/^#{2,3} /m)[0]).toMatch(new RegExp(`^#### ${name}$`, "m"));
    }
  });
});
