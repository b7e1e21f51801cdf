import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { projectPath } from "../../src/paths.ts";
import { serverAccount } from "../../src/postgres/account.ts";
import { findBinaries } from "../../src/postgres/binaries.ts";
import { createCluster, giveTo } from "../../src/postgres/cluster.ts";
import { withConnection } from "../../src/postgres/connect.ts";
import { startServer } from "../../src/postgres/server.ts";

/**
 * Runs the commands of docker-compose.yml as processes, in the order of depends_on, at the paths and
 * under the names that they have in their containers. Started by processes.test.ts in a network and a
 * tree of mounts of its own; prints what came of it as JSON.
 */
interface Service {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly healthcheck?: { readonly test: readonly string[] };
}
const compose = parse(readFileSync(projectPath("docker-compose.yml"), "utf8")) as {
  readonly services: Readonly<Record<string, Service>>;
};
/** The mounts go with this process's namespace: who made the folder removes it, where there are none. */
const [home = "", clientFolder = ""] = process.argv.slice(2);
const root = join(home, "root");
const secrets = join(home, "secrets");
const running: [name: string, child: ChildProcess][] = [];
const patienceMs = 120_000;

function makeRoot(): void {
  mkdirSync(root);
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", root]);
  for (const name of readdirSync("/")) {
    const [from, to] = [join("/", name), join(root, name)];
    if (lstatSync(from).isSymbolicLink()) symlinkSync(readlinkSync(from), to);
    else if (lstatSync(from).isDirectory()) {
      mkdirSync(to, { recursive: true });
      if (name !== "run") execFileSync("mount", ["--rbind", from, to]);
    }
  }
  const binds = { "/app": ".", "/deploy": "src/deploy", "/monitoring": "docs/monitoring" };
  for (const [at, path] of Object.entries(binds)) {
    mkdirSync(join(root, at), { recursive: true });
    execFileSync("mount", ["--bind", projectPath(path), join(root, at)]);
  }
  for (const name of ["archive", "prometheus", "run/secrets"]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  const hosts = join(home, "hosts");
  writeFileSync(hosts, `127.0.0.1 localhost ${Object.keys(compose.services).join(" ")}\n`);
  execFileSync("mount", ["--bind", hosts, join(root, "etc/hosts")]);
  const configuration = projectPath("src/deploy/monitoring/prometheus.yml");
  execFileSync("mount", ["--bind", configuration, join(root, "etc/prometheus/prometheus.yml")]);
}

/** The script makes them beside itself. */
function makeSecrets(): void {
  mkdirSync(join(home, "src/deploy"), { recursive: true });
  const script = join(home, "src/deploy/make-secrets.sh");
  copyFileSync(projectPath("src/deploy/make-secrets.sh"), script);
  execFileSync("sh", [script]);
}

function giveSecrets(names: readonly string[] = []): void {
  const folder = join(root, "run/secrets");
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  for (const name of names) copyFileSync(join(secrets, name), join(folder, name));
}

const secret = (name: string) => readFileSync(join(secrets, name), "utf8").trim();

/** As the image starts it. */
function commandOf({ image, command = [] }: Service): readonly string[] {
  if (image.startsWith("storage-qos:")) return ["sh", "src/deploy/run-service.sh", ...command];
  return image.startsWith("prom/") ? ["prometheus", ...command] : command;
}

function inContainer(command: readonly string[], environment: Readonly<Record<string, string>>) {
  const path = ["/app/node_modules/.bin", clientFolder, process.env.PATH].join(":");
  return spawn("chroot", [root, "sh", "-c", 'cd /app && exec "$@"', "sh", ...command], {
    env: { ...environment, PATH: path, HOME: "/tmp" },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

interface Outcome {
  readonly code: number | null;
  readonly said: string;
}

async function outcomeOf(child: ChildProcess): Promise<Outcome> {
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (data) => {
      said += data;
    });
  }
  const [code] = await once(child, "exit");
  return { code, said };
}

async function succeed(name: string, command: readonly string[], environment = {}) {
  const outcome = await outcomeOf(inContainer(command, environment));
  if (outcome.code !== 0) throw new Error(`${name} ended with ${outcome.code}: ${outcome.said}`);
  return outcome.said;
}

async function becomesHealthy(name: string, { healthcheck }: Service): Promise<void> {
  const [kind, ...command] = healthcheck?.test ?? [];
  if (kind !== "CMD") throw new Error(`${name} has no health that is asked by a command`);
  const since = Date.now();
  for (;;) {
    const { code, said } = await outcomeOf(inContainer(command, {}));
    if (code === 0) return;
    if (Date.now() - since > patienceMs) throw new Error(`${name} is not healthy: ${said}`);
    await sleep(500);
  }
}

async function startPostgres() {
  const account = serverAccount();
  const [binaries, folder] = [findBinaries(account), join(home, "postgres/data")];
  mkdirSync(join(home, "postgres"));
  giveTo(account, join(home, "postgres"));
  const superuserPassword = secret("postgres_password");
  await createCluster({ binaries, account, folder, superuserPassword, durable: false });
  const logFile = join(home, "postgres/log");
  const server = await startServer({ binaries, account, folder, port: 5432, logFile });
  const url = `postgres://postgres:${superuserPassword}@127.0.0.1:5432/postgres`;
  await withConnection(url, (sql) => sql.unsafe("create database storage_qos"));
  return server;
}

async function start(name: string): Promise<string> {
  const service = compose.services[name];
  if (service === undefined) throw new Error(`no service ${name}`);
  giveSecrets(service.secrets);
  const { environment = {} } = service;
  if (service.healthcheck === undefined) {
    return succeed(name, commandOf(service), environment);
  }
  if (name !== "postgres") {
    const child = inContainer(commandOf(service), environment);
    child.stdout?.resume();
    child.stderr?.resume();
    running.push([name, child]);
  }
  await becomesHealthy(name, service);
  return "";
}

/** Those that this machine has programs for, each after what it depends on. */
function order(names: readonly string[]): string[] {
  const sorted: string[] = [];
  const visit = (name: string) => {
    if (sorted.includes(name)) return;
    for (const other of Object.keys(compose.services[name]?.depends_on ?? {})) visit(other);
    sorted.push(name);
  };
  for (const name of names) visit(name);
  return sorted;
}

async function scraped(): Promise<{ up: string[]; alerts: number }> {
  const ask = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:9090/api/v1/${path}`);
    // biome-ignore lint/suspicious/noExplicitAny: the shape of Prometheus's API.
    return ((await answer.json()) as any).data;
  };
  const since = Date.now();
  for (;;) {
    const { activeTargets } = await ask("targets");
    const up = (activeTargets as { health: string; labels: { job: string } }[])
      .filter(({ health }) => health === "up")
      .map(({ labels }) => labels.job);
    const { groups } = await ask("rules");
    const alerts = (groups as { rules: unknown[] }[]).reduce(
      (sum, { rules }) => sum + rules.length,
      0,
    );
    if (up.length === 2 || Date.now() - since > patienceMs) return { up: up.sort(), alerts };
    await sleep(500);
  }
}

async function main() {
  execFileSync("ip", ["link", "set", "lo", "up"]);
  makeRoot();
  makeSecrets();
  chmodSync(home, 0o755);
  const server = await startPostgres();
  const said: Record<string, string> = {};
  try {
    const names = order(["migrate", "logins", "seed", "api", "worker", "prometheus"]);
    for (const name of names) said[name] = await start(name);
    const apiKey = /qos_\S+/.exec(said.seed ?? "")?.[0] ?? "";
    giveSecrets(["gateway_password"]);
    const consume = ["consume", "read_small", "1KiB", "--key", apiKey];
    const service = ["sh", "src/deploy/run-service.sh", "qos_gateway", "gateway_password"];
    const decision = await succeed("consume", [...service, ...consume]);
    const api = await fetch("http://127.0.0.1:5678/graphql", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query: "{ __typename }" }),
    });
    const prometheus = await scraped();
    const ends: Record<string, number | null> = {};
    for (const [name, child] of running.reverse()) {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      [ends[name]] = await ended;
    }
    console.log(JSON.stringify({ order: names, decision, api: api.status, prometheus, ends }));
  } finally {
    for (const [, child] of running) child.kill("SIGKILL");
    await server.stop();
  }
}

await main();
