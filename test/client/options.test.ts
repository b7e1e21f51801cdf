import { spawnSync } from "node:child_process";
import pg from "pg";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import {
  createBatchingClient,
  createLimiter,
  InvalidRequestError,
  LimiterError,
  UnavailableError,
} from "../../src/client/index.ts";
import { projectPath } from "../../src/paths.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { silent } from "./silent.ts";
import { addQuota, type ClientWorld, makeWorld } from "./world.ts";

const database = await createDatabase();
const connection = database.urlAs("rate_limiter_app");
let world: ClientWorld;

beforeEach(async () => {
  world = await makeWorld(database);
});

describe("createLimiter raises a typed error for", () => {
  test.each([
    ["connection", { connection: undefined }],
    ["connection", { connection: null }],
    ["connection", { connection: 5432 }],
    ["connection", { connection: {} }],
    ["connection", { connection: "localhost:5432" }],
    ["connection", { connection: "postgres://host:port/db" }],
    ["outage.policy", { outage: { policy: "close" } }],
    ["outage.maxMs", { outage: { maxMs: -1 } }],
    ["outage.max", { outage: { max: 1 } }],
    ["outage", { outage: "open" }],
    ["leaseMs", { leaseMs: 0 }],
    ["idleMs", { idleMs: Number.NaN }],
    ["pollMs", { pollMs: "5000" }],
    ["timeoutMs", { timeoutMs: Number.POSITIVE_INFINITY }],
    ["maxApplications", { maxApplications: 1.5 }],
    ["closeOnSigterm", { closeOnSigterm: "yes" }],
    ["hooks.onOutage", { hooks: { onOutage: true } }],
    ["hooks.onDenial", { hooks: { onDenial: () => {} } }],
    ["logger", { logger: {} }],
    ["apiKey", { apiKey: "" }],
    ["application", { application: "no id" }],
    ["timeout", { timeout: 5 }],
    ["apiKey and application", { apiKey: "k", application: crypto.randomUUID() }],
  ])("an invalid or unknown %s", (name, options) => {
    const creating = () => createLimiter({ connection, ...options } as never);
    expect(creating).toThrow(InvalidRequestError);
    if (name !== "application") expect(creating).toThrow(new RegExp(`option.*: ${name}`));
  });

  test("options that are not an object", () => {
    expect(() => createLimiter(undefined as never)).toThrow(InvalidRequestError);
  });
});

test("createBatchingClient validates its options as well", () => {
  const creating = (options: object) => () => createBatchingClient(options as never);
  expect(creating({ connection: undefined })).toThrow(InvalidRequestError);
  expect(creating({ connection, callsAtOnce: 0 })).toThrow("invalid option: callsAtOnce");
  expect(creating({ connection, calls: 2 })).toThrow("unknown option: calls");
});

test("createLimiter takes a pool of pg, and leaves it open", async () => {
  await addQuota(database, world, { iops: { limit: 1, burst: 1_000 } });
  const pool = new pg.Pool({ connectionString: connection, max: 2 });
  onTestFinished(() => pool.end());
  const limiter = createLimiter({ connection: pool, apiKey: world.apiKey });
  await limiter.ready();
  expect(await limiter.checkAsync("head")).toMatchObject({ allowed: true });
  await eventually(() => expect(limiter.status().changes).toBe("listening"));
  await limiter.close();
  expect((await pool.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
});

test("ready() rejects where nothing is known", async () => {
  const limiter = createLimiter({
    connection: "postgres://login@127.0.0.1:1/nowhere",
    application: world.appId,
    logger: silent,
  });
  onTestFinished(() => limiter.close());
  await expect(limiter.ready()).rejects.toBeInstanceOf(UnavailableError);
});

test("methods without an application reject and do not throw", async () => {
  const limiter = createLimiter({ connection });
  onTestFinished(() => limiter.close());
  await expect(limiter.ready()).rejects.toMatchObject({ code: "QS400", status: 400 });
  await expect(limiter.checkAsync("head")).rejects.toBeInstanceOf(LimiterError);
});

test("importing the package reads no setting of the environment", () => {
  const code = `import(${JSON.stringify(projectPath("src/client/index.ts"))})`;
  const env = { ...process.env, LOG_LEVEL: "verbose" };
  const { status, stderr } = spawnSync(process.execPath, ["--eval", code], { env });
  expect([status, String(stderr)]).toEqual([0, ""]);
});
