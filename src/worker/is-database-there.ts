import { setTimeout as sleep } from "node:timers/promises";
import type { Pool } from "pg";

const patienceMilliseconds = 2_000;

export async function isDatabaseThere(pool: Pool): Promise<boolean> {
  const asked = pool.query("select 1").then(
    () => true,
    () => false,
  );
  return Promise.race([asked, sleep(patienceMilliseconds, false, { ref: false })]);
}
