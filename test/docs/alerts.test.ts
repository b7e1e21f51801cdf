import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { projectPath } from "../../src/paths.ts";
import { unlessRequired } from "../harness/index.ts";
import { type AlertCase, alertCases } from "./alert-cases.ts";

/** The rules of docs/monitoring, judged by Prometheus's own promtool. */
const run = promisify(execFile);
const ruleFiles = ["worker-rules.yml", "api-rules.yml", "gateway-rules.yml"].map((name) =>
  projectPath(`docs/monitoring/${name}`),
);
const version = await run("promtool", ["--version"]).catch(() => undefined);
const missing = unlessRequired(
  version === undefined ? "promtool is not installed (.ci/packages)" : undefined,
);
const folder = mkdtempSync(join(tmpdir(), "storage-qos-alerts-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Rules {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
}
interface Rule {
  readonly alert: string;
  readonly annotations?: unknown;
  readonly labels: Readonly<Record<string, string>>;
}
const rules = ruleFiles.flatMap((path) =>
  (parse(readFileSync(path, "utf8")) as Rules).groups.flatMap((group) => group.rules),
);

test("every alert has a case in which it fires, and one in which it does not", () => {
  const names = rules.map((rule) => rule.alert).sort();
  const tested = (fires: boolean) =>
    [
      ...new Set(
        alertCases
          .filter((each) => (each.labels === undefined) !== fires)
          .map((each) => each.alert),
      ),
    ].sort();
  expect(tested(true)).toEqual(names);
  expect(tested(false)).toEqual(names);
});

describe.skipIf(missing !== undefined)("promtool", () => {
  test("takes the rules", async () => {
    await run("promtool", ["check", "rules", "--lint-fatal", ...ruleFiles]);
  });

  test("finds each alert as its cases say", async () => {
    const files = rules.map(({ alert }) => writeUnitTests(alert));
    const outcome = await run("promtool", ["test", "rules", ...files]).catch(
      (error: { stdout: string; stderr: string }) => error,
    );
    const said = `${outcome.stdout}${outcome.stderr}`;
    expect(said).not.toContain("FAILED");
    expect(said.match(/SUCCESS/g)).toHaveLength(files.length);
  });
});

/** A file for each alert, with its rule alone: promtool evaluates every rule for each test. */
function writeUnitTests(alert: string): string {
  const [bare, file] = [join(folder, `${alert}.rule.json`), join(folder, `${alert}.test.json`)];
  const own = rules.filter((rule) => rule.alert === alert);
  // A unit test would have to repeat what annotations say.
  const withoutWords = own.map(({ annotations: _, ...rule }) => rule);
  // JSON is YAML.
  writeFileSync(bare, JSON.stringify({ groups: [{ name: alert, rules: withoutWords }] }));
  const tests = alertCases.filter((each) => each.alert === alert).map(unitTest);
  writeFileSync(file, JSON.stringify({ rule_files: [bare], evaluation_interval: "1m", tests }));
  return file;
}

function unitTest({ alert, series, at, labels }: AlertCase) {
  const severity = rules.find((rule) => rule.alert === alert)?.labels.severity;
  const fired = labels === undefined ? [] : [{ exp_labels: { severity, ...labels } }];
  return {
    name: `${alert} at ${at}`,
    interval: "30s",
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    alert_rule_test: [{ eval_time: at, alertname: alert, exp_alerts: fired }],
  };
}
