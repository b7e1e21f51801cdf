import { describe, expect, test } from "vitest";
import { addQuota, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { deniedOf } from "../sql/denials/world.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("denials of a gateway", async () => {
  const database = await createDatabase();
  const { nginx } = missing === undefined ? await startGateway(database) : (undefined as never);

  test("come on record within seconds, though no lease takes them along", async () => {
    const { appId, apiKey } = await makeWorld(database);
    // Nothing flows in that could be leased for minutes.
    await addQuota(
      database,
      { appId },
      { iops: { limit: 1, method: "fixed_window", seconds: 300 } },
    );
    let denied = 0;
    for (let call = 0; call < 300; call += 1) {
      const response = await fetch(`${nginx.url}/b/o`, {
        method: "DELETE",
        headers: { "X-API-Key": apiKey },
      });
      if (response.status !== 200) denied += 1;
    }
    expect(denied).toBeGreaterThan(150);
    await eventually(async () => {
      expect(await deniedOf(database, appId)).toBeGreaterThan(denied / 2);
    });
    expect(await deniedOf(database, appId)).toBeLessThanOrEqual(denied);
  });
});
