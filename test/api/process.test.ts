import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { runCli } from "../cli/run-cli.ts";
import { jwtSecret } from "./api.ts";
import { dataOf, serveTwoTenants } from "./world.ts";

const { database, api } = await serveTwoTenants();

interface Running {
  readonly child: ChildProcess;
  readonly url: string;
  /** The lines of its log so far. */
  log(): Readonly<Record<string, unknown>>[];
}

/** The API as production runs it: a process of its own, told to stop by a signal. */
async function run(env: NodeJS.ProcessEnv): Promise<Running> {
  const child = spawn(process.execPath, [projectPath("src/cli/main.ts"), "api"], {
    env: {
      ...{ ...process.env, NODE_ENV: "production", GRAPHILE_ENV: "production" },
      ...{ API_DATABASE_URL: database.urlAs("rate_limiter_authenticator") },
      ...{ API_PORT: "0", JWT_SECRET: jwtSecret, LOG_LEVEL: "debug", ...env },
    },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let log = "";
  child.stderr.on("data", (chunk) => {
    log += chunk;
  });
  const [line] = await once(child.stdout, "data");
  const url = /http:\S+/.exec(`${line}`)?.[0] ?? "";
  const lines = () =>
    log
      .split("\n")
      .slice(0, -1)
      .map((text) => JSON.parse(text));
  return { child, url, log: lines };
}

async function ask(url: string, query: string, requestId: string) {
  const { accessToken } = await api.signIn("system_admin@mine.example");
  const response = await fetch(new URL("/graphql", url), {
    method: "POST",
    headers: {
      ...{ "content-type": "application/json", "x-request-id": requestId },
      authorization: `Bearer ${accessToken}`,
    },
    body: JSON.stringify({ query }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: the answer's shape is what is tested.
  return (await response.json()) as any;
}

test("a process logs requests and faults under their ids, and ends when its answers are out", async () => {
  const { child, url, log } = await run({});
  await ask(url, "{ viewer { email } }", "a-request");
  await expect
    .poll(() => log().find((line) => line.requestId === "a-request"))
    .toMatchObject({ component: "api", path: "/graphql", status: 200, complete: true });

  await database.sql`alter table rate_limiter.roles rename column description to broken`;
  const broken = await ask(url, "{ roles(first: 1) { nodes { description } } }", "a-fault");
  await database.sql`alter table rate_limiter.roles rename column broken to description`;
  const [{ message, extensions }] = broken.errors;
  expect(message).toBe("unexpected error");
  const fault = () => log().find((line) => line.errorId === extensions.errorId);
  await expect.poll(fault).toMatchObject({ level: 50, requestId: "a-fault" });
  expect(JSON.stringify(fault()?.err)).toContain("description");

  const blocker = await database.session("blocker");
  await blocker.sql`begin`;
  await blocker.sql`lock table rate_limiter.operation_types in access exclusive mode`;
  const due = ask(url, "{ operationTypes(first: 1) { nodes { name } } }", "due");
  await expect
    .poll(async () => {
      const [row] = await database.sql`
        select count(*)::integer as waiting from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'
      `;
      return row?.waiting;
    })
    .toBe(1);
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await expect
    .poll(() =>
      fetch(url).then(
        () => "answers",
        () => "refuses",
      ),
    )
    .toBe("refuses");
  await blocker.sql`rollback`;
  expect((await due).data.operationTypes.nodes).toHaveLength(1);
  expect(await exited).toEqual([0, null]);
  expect(JSON.stringify(log())).not.toContain(jwtSecret);
});

test("the first administrator is made by a command, once, and may do everything", async () => {
  const args = ["create-admin", "--email", "first@example.org", "--tenant", "the operators"];
  const env = { DATABASE_URL: database.url, QOS_ADMIN_PASSWORD: "" };
  const made = await runCli(args, env);
  const secret = /password \(shown once\): (\S+)/.exec(made.stdout)?.[1];
  expect(made.code).toBe(0);
  const admin = await api.signIn("first@example.org", secret, "the operators");
  const { viewer, viewerPermissions } = await dataOf(
    admin.ask("{ viewer { tenant { name } } viewerPermissions }"),
  );
  expect(viewer.tenant.name).toBe("the operators");
  expect(viewerPermissions).toContain("system:configure");
  const again = await runCli(args, env);
  expect(again.code).toBe(2);
  expect(again.stderr).toContain("user already exists");
});
