import type { RunsStatements } from "../../src/client/store/sql-on-pg.ts";

/** A database of applications without a quota that answers as the real one, and counts calls. */
export class CountingDatabase implements RunsStatements {
  calls = 0;
  inFlight = 0;
  mostInFlight = 0;
  /** Leases that are open. */
  open = 0;

  async query({ text, values }: { text: string; values: unknown[] }): Promise<{ rows: unknown[] }> {
    this.calls += 1;
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    await new Promise((resolve) => setImmediate(resolve));
    this.inFlight -= 1;
    return { rows: this.#answer(text, values.map(String)) };
  }

  #answer(text: string, [first = "", second = ""]: string[]): unknown[] {
    if (text.includes("application_configs(")) return elementsOf(second).map(configOf);
    if (text.includes("operation_costs(")) return [costs];
    if (text.includes("exchange_leases(")) return [{ answers: this.#exchange(first, second) }];
    if (text.includes("lease_tokens(")) return [this.#grant()];
    return [{}];
  }

  #exchange(renewals: string, settlements: string): string {
    this.open -= JSON.parse(settlements).length;
    const grants = JSON.parse(renewals).map(({ app_id }: { app_id: string }) => {
      const { holders, ...grant } = this.#grant();
      return { app_id, holders: String(holders), ...grant };
    });
    return JSON.stringify(grants);
  }

  #grant() {
    this.open += 1;
    return {
      lease_id: crypto.randomUUID(),
      tokens: "8.000000",
      bytes: "0",
      lifetime_ms: "3600000",
      retry_after_ms: "0",
      holders: 1,
      is_limited_tokens: true,
      is_limited_bytes: false,
    };
  }
}

const costs = {
  operation: "head",
  c_base: "1",
  c_bw: "0",
  unit_quantum: "1",
  is_active: true,
};

/** Of an array literal without quotes in its elements. */
function elementsOf(literal: string): string[] {
  return literal.replace(/[{}"]/g, "").split(",");
}

function configOf(appId: string) {
  return {
    config: JSON.stringify({
      app_id: appId,
      tenant_id: appId,
      now_us: "0",
      key_valid_ms: null,
      limits: { cluster_id: null, changes_in_ms: null, limits: [] },
      cost_rules: [],
    }),
  };
}
