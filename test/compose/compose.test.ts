import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { projectPath } from "../../src/paths.ts";
import { apiDeclaration } from "../../src/settings/api.ts";
import { archiveDeclaration } from "../../src/settings/archive.ts";
import { gatewayDeclaration } from "../../src/settings/gateway.ts";
import type { Declaration } from "../../src/settings/setting.ts";
import { workerDeclaration } from "../../src/settings/worker.ts";
import { runCli } from "../cli/run-cli.ts";

interface Service {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly stop_signal?: string;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const read = (path: string) => readFileSync(projectPath(path), "utf8");
const compose = parse(read("docker-compose.yml")) as Compose;
/** What lies on top of it. */
const withPooler = parse(read("src/deploy/pooler/compose.yml")) as Pick<Compose, "services">;
const services = Object.entries({
  pooler: withPooler.services.pooler as Service,
  ...compose.services,
});
/** These run to their end; all others are to stay healthy. */
const once = ["migrate", "logins", "seed"];

test("everything that the product consists of is there", () => {
  expect(Object.keys(compose.services).sort()).toEqual(
    [
      ...["postgres", "migrate", "logins", "seed", "api", "worker", "gateway", "upstream"],
      ...["prometheus", "grafana"],
    ].sort(),
  );
});

describe.each(services)("%s", (name, service) => {
  test("has an image of one version", () => {
    expect(service.image).toMatch(/^([a-z]+\/)?[a-z-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?$/);
  });

  test("is waited for by its health, or runs to its end", () => {
    expect(service.healthcheck !== undefined).toBe(!once.includes(name));
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      const expected = once.includes(other) ? "service_completed_successfully" : "service_healthy";
      expect([other, condition]).toEqual([other, expected]);
      expect(compose.services[other]).toBeDefined();
    }
  });

  test("has secrets that are told, and none in its environment", () => {
    for (const secret of service.secrets ?? []) expect(compose.secrets[secret]).toBeDefined();
    for (const [variable, value] of Object.entries(service.environment ?? {})) {
      if (/PASSWORD|SECRET/.test(variable)) {
        expect(variable).toMatch(/_FILE$/);
        expect(service.secrets).toContain(value.replace("/run/secrets/", ""));
      }
    }
  });

  test("mounts what is there", () => {
    for (const volume of service.volumes ?? []) {
      const [source = ""] = volume.split(":");
      if (source.startsWith("./")) expect(existsSync(projectPath(source))).toBe(true);
      else expect(compose.volumes).toHaveProperty(source);
    }
  });

  test("builds from what is there", () => {
    if (service.build === undefined) return;
    expect(service.build.context).toBe(".");
    const lines = read(service.build.dockerfile).split("\n");
    expect(lines.find((line) => line.startsWith("FROM"))).toMatch(
      /:\d+\.\d+(\.\d+)?[\w.-]*( AS \w+)?$/,
    );
    for (const line of lines.filter((one) => /^COPY (?!--from)/.test(one))) {
      for (const source of line.split(" ").slice(1, -1)) {
        expect([source, existsSync(projectPath(source))]).toEqual([source, true]);
      }
    }
  });
});

test("every command is one of the project", async () => {
  const { stdout } = await runCli(["--help"], {});
  const own = services.filter(([, { image }]) => image.startsWith("storage-qos:"));
  expect(own.length).toBe(4);
  for (const [name, { command = [], secrets }] of own) {
    const [login = "", secret = "", what = ""] = command;
    expect([name, secrets?.includes(secret)]).toEqual([name, true]);
    expect(stdout).toMatch(new RegExp(`^ +${what} `, "m"));
    if (login !== "postgres") expect(read("src/deploy/logins.sql")).toContain(`to ${login};`);
  }
});

test("every variable is a setting of its service", () => {
  const declarations = {
    ...{ api: [apiDeclaration], gateway: [gatewayDeclaration] },
    worker: [workerDeclaration, archiveDeclaration],
  };
  const ofOthers = /^(NODE_ENV|POSTGRES_\w+|MALLOC_\w+|GF_\w+)$/;
  for (const [name, { environment = {} }] of services) {
    const ofService: readonly Declaration[] = declarations[name as keyof typeof declarations] ?? [];
    const known = ofService
      .flatMap((each) => Object.values(each))
      .flatMap(({ variable }) => [variable, `${variable}_FILE`]);
    const unknown = Object.keys(environment).filter((variable) => !known.includes(variable));
    expect([name, unknown.filter((variable) => !ofOthers.test(variable))]).toEqual([name, []]);
  }
});

test("health is asked at ports and paths that answer it", () => {
  const address = (name: string) => compose.services[name]?.healthcheck?.test.at(-1) ?? "";
  expect(new URL(address("api")).port).toBe(compose.services.api?.environment?.API_PORT);
  expect(new URL(address("worker")).port).toBe(compose.services.worker?.environment?.WORKER_PORT);
  expect(read("src/api/http/handler.ts")).toContain(`"${new URL(address("api")).pathname}"`);
  expect(read("src/http/health-and-metrics.ts")).toContain(
    `"${new URL(address("worker")).pathname}"`,
  );
  const gateway = new URL(address("gateway"));
  expect(read("src/gateway/nginx.conf")).toContain(`location = ${gateway.pathname}`);
  expect(read("src/deploy/gateway/listen-admin.conf")).toContain(`listen ${gateway.port};`);
  expect(compose.services.gateway?.stop_signal).toBe("SIGQUIT");
  const script = compose.services.api?.healthcheck?.test[2] ?? "";
  expect(existsSync(projectPath(script))).toBe(true);
});

test("the gateway's own files replace files that nginx.conf includes, and find its neighbours", () => {
  const included = [...read("src/gateway/nginx.conf").matchAll(/include (\S+);/g)].map(
    ([, file]) => file,
  );
  for (const file of readdirSync(projectPath("src/deploy/gateway")))
    expect(included).toContain(file);
  const [, host = "", port = ""] =
    /server (\w+):(\d+);/.exec(read("src/deploy/gateway/upstream.conf")) ?? [];
  expect(compose.services[host]).toBeDefined();
  expect(read("src/deploy/upstream/default.conf")).toContain(`listen ${port};`);
  expect(compose.services[compose.services.gateway?.environment?.QOS_DATABASE_HOST ?? ""]).toBe(
    compose.services.postgres,
  );
  expect(compose.services.gateway?.ports).toContain("8080:8080");
  expect(read("src/gateway/listen.conf")).toContain("listen 8080;");
  expect(read("src/gateway/paths.conf")).toContain("/etc/storage-qos/lua/?.lua");
  expect(read("src/deploy/gateway.Dockerfile")).toContain("COPY src/gateway /etc/storage-qos");
});

test("Prometheus scrapes what tells, by the rules of the docs, and Grafana shows their dashboards", () => {
  const prometheus = parse(read("src/deploy/monitoring/prometheus.yml"));
  const jobs = prometheus.scrape_configs as {
    readonly job_name: string;
    readonly static_configs: readonly { readonly targets: readonly string[] }[];
  }[];
  const targets = jobs.flatMap((job) => job.static_configs.flatMap((each) => each.targets));
  const { api, worker } = compose.services;
  expect(targets.sort()).toEqual([
    `api:${api?.environment?.API_METRICS_PORT}`,
    `gateway:${/^listen (\d+);$/m.exec(read("src/deploy/gateway/listen-admin.conf"))?.[1]}`,
    `worker:${worker?.environment?.WORKER_PORT}`,
  ]);
  const rules = readdirSync(projectPath("docs/monitoring")).filter((name) => name.endsWith(".yml"));
  expect(prometheus.rule_files.sort()).toEqual(rules.map((name) => `/monitoring/${name}`).sort());
  const asked = rules.map((name) => read(`docs/monitoring/${name}`)).join("");
  for (const { job_name } of jobs) expect(asked).toContain(`up{job="${job_name}"}`);

  const grafana = "src/deploy/monitoring/grafana";
  const [source] = parse(read(`${grafana}/datasources/prometheus.yml`)).datasources;
  const { hostname, port } = new URL(source.url);
  expect(compose.services[hostname]?.ports).toContain(`127.0.0.1:${port}:${port}`);
  const [provider] = parse(read(`${grafana}/dashboards/storage-qos.yml`)).providers;
  for (const name of ["prometheus", "grafana"]) {
    expect(compose.services[name]?.volumes).toContain(
      `./docs/monitoring:${provider.options.path}:ro`,
    );
  }
});

test("the store belongs to the user that writes it, and the health of the database is asked by TCP", () => {
  const script = "src/deploy/upstream/own-objects.sh";
  expect(compose.services.upstream?.volumes).toContain(
    `./${script}:/docker-entrypoint.d/05-own-objects.sh:ro`,
  );
  // The image's entry point runs what is executable.
  expect(statSync(projectPath(script)).mode & 0o111).toBe(0o111);
  execFileSync("sh", ["-n", projectPath(script)]);
  const [root = ""] = /root (\S+);/.exec(read("src/deploy/upstream/default.conf"))?.slice(1) ?? [];
  expect(read(script)).toContain(`chown nginx:nginx ${root}`);
  expect(compose.services.postgres?.healthcheck?.test).toContain("--host=127.0.0.1");
});

test("the gateway's base image has opm", () => {
  expect(read("src/deploy/gateway.Dockerfile")).toMatch(/^FROM openresty\/openresty:\S+-fat$/m);
});

test("the gateway goes through the pooler at its port, and its login has what sessions start with", () => {
  const { pooler, gateway } = withPooler.services;
  const ini = read("src/deploy/pooler/pgbouncer.ini");
  const { QOS_DATABASE_HOST, QOS_DATABASE_PORT, ...rest } = gateway?.environment ?? {};
  expect(QOS_DATABASE_HOST).toBe("pooler");
  expect(ini).toContain(`\nlisten_port = ${QOS_DATABASE_PORT}\n`);
  expect(pooler?.healthcheck?.test.at(-1)).toContain(`/${QOS_DATABASE_PORT}`);
  expect(rest).toEqual({ QOS_DATABASE_STATEMENT_TIMEOUT_MS: "0" });
  expect(Object.keys(gateway?.depends_on ?? {})).toEqual(["pooler"]);
  const script = read("src/deploy/pooler/run-pooler.sh");
  execFileSync("sh", ["-n"], { input: script });
  expect(script).toContain(/^auth_file = (.*)$/m.exec(ini)?.[1]);
  expect(script).toContain(`"${compose.services.gateway?.environment?.QOS_DATABASE_USER}"`);
  const logins = read("src/deploy/logins.sql");
  for (const name of ["default_transaction_isolation", "statement_timeout"]) {
    expect(ini).toMatch(new RegExp(`^ignore_startup_parameters = .*${name}`, "m"));
    expect(logins).toContain(`alter role qos_gateway set ${name} = `);
  }
});

test("roles that the logins are members of exist", () => {
  const plan = read("db/bootstrap/plan.sql");
  const granted = [...read("src/deploy/logins.sql").matchAll(/^grant (\w+) to/gm)].map(
    ([, role = ""]) => role,
  );
  expect(granted).toHaveLength(3);
  for (const role of granted) expect(plan).toContain(role);
});

test("scripts parse, and every secret is made by the script that makes them", () => {
  const scripts = readdirSync(projectPath("src/deploy")).filter((name) => name.endsWith(".sh"));
  expect(scripts.sort()).toEqual(["logins.sh", "make-secrets.sh", "run-service.sh"]);
  for (const script of scripts) execFileSync("sh", ["-n", projectPath("src/deploy", script)]);
  const made = read("src/deploy/make-secrets.sh");
  for (const [name, { file }] of Object.entries(compose.secrets)) {
    expect(file).toBe(`./secrets/${name}`);
    expect(made).toMatch(new RegExp(`\\b${name}\\b`));
  }
  expect(read(".gitignore")).toContain("secrets/");
});
