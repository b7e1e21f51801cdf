import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { makeAttackedWorld, password } from "../api/attacked-world.ts";
import { attacks, type Target } from "../api/attacks.ts";
import { startBenchApi } from "../api/start-api.ts";
import { summarize } from "../statistics.ts";
import type { Sample, Workload } from "../types.ts";

/** Between two queries of the other tenant. */
const pauseMs = 25;

/** Of an attack, before the other tenant is looked at. */
const warmUpMs = 1_000;

const auditRows = 200_000;
const quickAuditRows = 2_000;

/** Another tenant's small query while each attack runs, one after the other: the worst of all. */
export const apiUnderAttack: Workload = {
  name: "api-under-attack",
  says: "slowest small query of another tenant, over all attacks on the admin API",
  unit: "ms",
  once: true,
  async start(bench) {
    const appIds = await makeAttackedWorld(bench.sql, bench.quick ? quickAuditRows : auditRows);
    const api = await startBenchApi(bench.url);
    return {
      async round() {
        const { url } = api;
        const target = { url, appIds, token: await signIn(url, "attacker") };
        return attackedSample(target, await signIn(url, "victim"), bench.seconds);
      },
      stop: () => api.stop(),
    };
  },
};

async function attackedSample(target: Target, victim: string, seconds: number): Promise<Sample> {
  const notes: Record<string, number> = {};
  const medians: number[] = [];
  const worsts: number[] = [];
  for (const name of Object.keys(attacks)) {
    const times = await whileAttacked(
      { ...target, name },
      () => small(target.url, victim),
      seconds,
    );
    const median = summarize(times).median;
    const worst = Math.max(...times);
    notes[`${name}: median`] = median;
    notes[`${name}: worst`] = worst;
    medians.push(median);
    worsts.push(worst);
  }
  notes.median = Math.max(...medians);
  return { figure: Math.max(...worsts), notes };
}

/** Milliseconds that each call took while the attack ran in a thread of its own. */
async function whileAttacked(
  workerData: Target & { readonly name: string },
  call: () => Promise<void>,
  seconds: number,
): Promise<number[]> {
  const worker = new Worker(new URL("../api/attack-worker.ts", import.meta.url), { workerData });
  try {
    await sleep(warmUpMs);
    const times: number[] = [];
    for (const end = performance.now() + seconds * 1000; performance.now() < end; ) {
      const start = performance.now();
      await call();
      times.push(performance.now() - start);
      await sleep(pauseMs);
    }
    return times;
  } finally {
    await worker.terminate();
  }
}

async function small(url: string, token: string): Promise<void> {
  await ask(url, "{ applications(first: 5) { nodes { name } } }", token);
}

async function signIn(url: string, tenant: string): Promise<string> {
  const login = `mutation { login(input: {
    tenant: "${tenant}", email: "${tenant}@example.org", password: "${password}"
  }) { accessToken } }`;
  return (await ask<{ login: { accessToken: string } }>(url, login)).login.accessToken;
}

/** An error of any kind ends the benchmark: the other tenant is to be served. */
async function ask<T>(url: string, query: string, token?: string): Promise<T> {
  const headers = {
    "content-type": "application/json",
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  };
  const body = JSON.stringify({ query });
  const answer = await fetch(`${url}/graphql`, { method: "POST", headers, body });
  const { data, errors } = (await answer.json()) as { data: T; errors?: unknown };
  if (errors !== undefined) throw new Error(JSON.stringify(errors));
  return data;
}
