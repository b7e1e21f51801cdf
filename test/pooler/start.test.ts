import { describe, expect, onTestFinished, test } from "vitest";
import { startApi } from "../../src/api/server.ts";
import { pgbouncerProgram, sessionParameters, startPgBouncer } from "../../src/bench/pgbouncer.ts";
import { startWorker } from "../../src/worker/worker.ts";
import { createDatabase, unlessRequired } from "../harness/index.ts";

const isMissing = pgbouncerProgram === undefined;
unlessRequired(isMissing ? "pgbouncer is not installed" : undefined);

const starts = [
  {
    name: "the API",
    role: "rate_limiter_authenticator",
    start: (databaseUrl: string) =>
      startApi({ databaseUrl, host: "127.0.0.1", port: 0, env: { JWT_SECRET: "x".repeat(32) } }),
  },
  {
    name: "the worker",
    role: "rate_limiter_worker",
    start: (databaseUrl: string) => startWorker({ databaseUrl, env: {} }),
  },
] as const;

describe.skipIf(isMissing).each(starts)("$name", async ({ role, start }) => {
  const database = await createDatabase();

  test.each([
    ["drops the settings of a session", {}],
    ["refuses them", { ignore_startup_parameters: "extra_float_digits" }],
  ])("does not start behind a pooler of transactions that %s", async (_, settings) => {
    const pooler = await startPgBouncer(database.urlAs(role), settings);
    onTestFinished(pooler.stop);
    await expect(start(pooler.url)).rejects.toMatchObject({
      code: "connection_is_pooled",
      hint: expect.stringContaining("direct connection"),
    });
  });

  test("starts behind a pooler of sessions", async () => {
    const pooler = await startPgBouncer(database.urlAs(role), {
      ...{
        pool_mode: "session",
        ignore_startup_parameters: sessionParameters,
      },
    });
    onTestFinished(pooler.stop);
    const service = await start(pooler.url);
    await service.stop();
  });
});
