import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { createLimiter } from "../client/index.ts";

/**
 * A service with the client library, as a process that may be killed: it asks in rounds, and appends
 * what it was told to its file after each round, before the next one.
 */
const { TORTURE_URL = "", TORTURE_APP = "", TORTURE_FILE = "", TORTURE_HOLDER = "" } = process.env;

export interface ClientLine {
  readonly at: number;
  /** Admissions that a lease or the database paid for, and those of the outage policy. */
  readonly paid: number;
  readonly policy: number;
  readonly denied: number;
  readonly errors: readonly string[];
}

const limiter = createLimiter({
  connection: TORTURE_URL,
  application: TORTURE_APP,
  holder: TORTURE_HOLDER,
  outage: { policy: "fair_share", maxMs: 3_000 },
  timeoutMs: 1_000,
  leaseMs: 3_000,
  logger: { debug() {}, info() {}, warn() {} },
});

let isStopping = false;
process.on("SIGTERM", () => {
  isStopping = true;
});

while (!isStopping) {
  let [paid, policy, denied] = [0, 0, 0];
  const errors: string[] = [];
  for (let call = 0; call < 20; call += 1) {
    try {
      const decision = call < 5 ? await limiter.checkAsync("head") : limiter.check("head");
      if (!decision.allowed) denied += 1;
      else if (decision.reason === "store_unavailable") policy += 1;
      else paid += 1;
    } catch (error) {
      errors.push((error as { code?: string }).code ?? String(error));
    }
  }
  const line: ClientLine = { at: Date.now(), paid, policy, denied, errors };
  appendFileSync(TORTURE_FILE, `${JSON.stringify(line)}\n`);
  await sleep(20);
}
await limiter.close();
