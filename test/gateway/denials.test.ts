import { describe, expect, test } from "vitest";
import { addQuota, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { deniedOf } from "../sql/denials/world.ts";
import { counter, startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("denials of a gateway", async () => {
  const database = await createDatabase();
  const { nginx, link } =
    missing === undefined
      ? await startGateway(database, { QOS_DATABASE_TIMEOUT_MS: "500" })
      : (undefined as never);

  /** Asks so often, and answers how many requests a bucket denied. */
  async function ask(apiKey: string, times: number): Promise<number> {
    let denied = 0;
    for (let call = 0; call < times; call += 1) {
      const response = await fetch(`${nginx.url}/b/o`, {
        method: "DELETE",
        headers: { "X-API-Key": apiKey },
      });
      if (response.status === 429) denied += 1;
    }
    return denied;
  }

  test("count once where the answer to a report is lost", async () => {
    const { appId, apiKey } = await makeWorld(database);
    await addQuota(
      database,
      { appId },
      { iops: { limit: 1, method: "fixed_window", seconds: 300 } },
    );
    let denied = await ask(apiKey, 320);
    link.loseAnswers();
    denied += await ask(apiKey, 100);
    expect(denied).toBeGreaterThan(20);
    // The report has come, and its answer has not.
    await eventually(async () => {
      expect(await deniedOf(database, appId)).toBeGreaterThan(denied / 2);
      expect(await counter(nginx, /^qos_database_up/)).toBe(0);
    });
    link.mend();
    const exchanges = () => counter(nginx, /^qos_database_calls_total{call="exchange"}/);
    const before = await exchanges();
    await eventually(async () => {
      denied += await ask(apiKey, 10);
      expect(await counter(nginx, /^qos_database_up/)).toBe(1);
      expect(await exchanges()).toBeGreaterThanOrEqual(before + 3);
    });
    expect(await deniedOf(database, appId)).toBeLessThanOrEqual(denied);
  });

  test("come on record within seconds, though no lease takes them along", async () => {
    const { appId, apiKey } = await makeWorld(database);
    // Nothing flows in that could be leased for minutes.
    await addQuota(
      database,
      { appId },
      { iops: { limit: 1, method: "fixed_window", seconds: 300 } },
    );
    const denied = await ask(apiKey, 300);
    expect(denied).toBeGreaterThan(150);
    await eventually(async () => {
      expect(await deniedOf(database, appId)).toBeGreaterThan(denied / 2);
    });
    expect(await deniedOf(database, appId)).toBeLessThanOrEqual(denied);
  });
});
