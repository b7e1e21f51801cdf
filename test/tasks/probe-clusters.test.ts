import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { startWorker } from "../../src/worker/worker.ts";
import { createDatabase } from "../harness/index.ts";
import { makeCluster } from "../sql/world.ts";
import { startHttpReceiver } from "../worker/alerts/receivers.ts";
import { holdClock } from "../worker/hold-clock.ts";

const database = await createDatabase();
const { sql } = database;

/** A cluster that is probed at this address. */
async function clusterAt(url: string): Promise<string> {
  const clusterId = await makeCluster(sql);
  await sql`update rate_limiter.clusters set health_check_url = ${url} where cluster_id = ${clusterId}`;
  return clusterId;
}

const startHere = async (env: NodeJS.ProcessEnv = {}) => {
  await holdClock(database);
  const service = await startWorker({
    databaseUrl: database.urlAs("rate_limiter_worker"),
    http: { host: "127.0.0.1", port: 0 },
    env: { HEALTH_ALLOWED_NETWORKS: "127.0.0.0/8", HEALTH_TIMEOUT_MS: "500", ...env },
  });
  onTestFinished(service.stop);
  return async () => (await fetch(`${service.url}/metrics`)).text();
};
const run = async () => {
  await sql`select graphile_worker.add_job('probe_clusters')`;
  for (let tries = 0; tries < 400; tries++) {
    const rows = await sql`
      select from graphile_worker.jobs as j where j.task_identifier = 'probe_clusters'
    `;
    if (rows.count === 0) return;
    await sleep(25);
  }
  throw new Error("the job is left");
};

test("a worker probes clusters and tells Prometheus", async () => {
  const receiver = await startHttpReceiver();
  const healthy = await clusterAt(receiver.url);
  const broken = await clusterAt("http://127.0.0.1:1/");
  const forbidden = await clusterAt("http://169.254.169.254/");
  const metrics = await startHere();
  await run();
  const [answering] = await sql`
    select health_status, health_streak from rate_limiter.clusters where cluster_id = ${healthy}
  `;
  expect(answering).toEqual({ health_status: "healthy", health_streak: 1 });
  const rows = await sql`
    select c.name, c.health_status, c.health_message from rate_limiter.clusters as c
    where c.cluster_id in (${broken}, ${forbidden}) order by c.health_status
  `;
  expect(rows).toMatchObject([
    { health_status: "degraded", health_message: expect.stringContaining("ECONNREFUSED") },
    { health_status: "unknown", health_message: expect.stringContaining("not public") },
  ]);
  const text = await metrics();
  expect(text).toContain(`storage_qos_cluster_health{cluster="${rows[0]?.name}"} 0.5`);
  expect(text).not.toContain(`storage_qos_cluster_health{cluster="${rows[1]?.name}"}`);
  expect(text).toContain('storage_qos_clusters_by_health{status="healthy"} 1');
  expect(text).toContain('storage_qos_clusters_by_health{status="unknown"} 1');
  expect(text).toMatch(/^storage_qos_cluster_health_age_seconds \d/m);
});

test("a worker asks no more than 16 at once, and in the end all of them", async () => {
  let [open, most] = [0, 0];
  const server = createServer((_request, response) => {
    open++;
    most = Math.max(most, open);
    setTimeout(() => {
      open--;
      response.end();
    }, 30);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  await sql`update rate_limiter.clusters set health_check_url = null`;
  for (let index = 0; index < 40; index++) {
    await clusterAt(`http://127.0.0.1:${port}/${index}`);
  }
  await startHere();
  await run();
  const [row] = await sql`
    select count(*)::integer as healthy from rate_limiter.clusters
    where health_status = 'healthy'
  `;
  expect(row?.healthy).toBe(40);
  expect(most).toBeGreaterThan(4);
  expect(most).toBeLessThanOrEqual(16);
});
