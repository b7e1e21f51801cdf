import { type Command, Option } from "commander";
import { type Order, orders } from "../../top/rates.ts";

interface Options {
  readonly sort: Order;
  readonly interval: string;
  readonly limit: string;
  readonly once?: boolean;
  readonly as?: string;
}

export function register(program: Command): void {
  program
    .command("top")
    .description("watch the applications of DATABASE_URL: fill, admitted and denied, layer 1, debt")
    .addOption(new Option("--sort <order>", "order").choices(orders).default("denied"))
    .option("--interval <time>", "how often it is read, 1 s or longer", "2s")
    .option("--limit <number>", "how many applications: those that changed last", "40")
    .option("--once", "print one table and end, as without a terminal")
    .option("--as <email>", "the system administrator who asks; else QOS_OPERATOR")
    .addHelpText(
      "after",
      `
Keys: s sorts by the next column, up and down (or k and j) choose, Enter opens one, q ends.
Admitted counts rows of the ledger: a decision is one, a lease too. Denied lags by a second.

Examples:
  storage-qos top
  storage-qos top --once --sort fill`,
    )
    .action(async ({ sort, interval, limit, once, as }: Options) => {
      const { topLive, topOnce } = await import("../../top/run.ts");
      const { takeSample } = await import("../../top/sample.ts");
      const { asOperator } = await import("../as-operator.ts");
      const { requireTime } = await import("../../input/require-time.ts");
      const { requireCount } = await import("../../input/require-count.ts");
      const most = requireCount(limit, "--limit", 1_000);
      const options = {
        intervalMs: Number(requireTime(interval, "--interval")) * 1_000,
        view: { order: sort, selected: 0, isOpen: false },
        sample: (sinceMs: number) => asOperator(as, (sql) => takeSample(sql, most, sinceMs)),
      };
      if (once || !process.stdin.isTTY || !process.stdout.isTTY) {
        console.log(await topOnce(options));
      } else {
        await topLive(options, { input: process.stdin, output: process.stdout });
      }
    });
}
