import type { Growth, JobCost } from "./measure-growth.ts";

const columns = ["read", "ledgerRead", "written"] as const;
const titles = { read: "rows read", ledgerRead: "of the ledger", written: "rows written" };

/** A Markdown table: what each job counts at each size, and how many times the first size's is the last's. */
export function renderGrowth(growth: readonly Growth[]): string {
  const sizes = growth.map(({ applications }) => applications.toLocaleString("en"));
  const head = ["job", ...columns.map((column) => `${titles[column]} at ${sizes.join(" / ")}`)];
  const lines = (growth[0]?.costs ?? []).map(({ job }) => {
    const cells = columns.map((column) => cellOf(growth, job, column));
    return row([`\`${job}\``, ...cells]);
  });
  return [row(head), row(head.map(() => "---")), ...lines].join("\n");
}

function cellOf(growth: readonly Growth[], job: string, column: (typeof columns)[number]): string {
  const values = growth.map(({ costs }) => costOf(costs, job)[column]);
  const [first = 0, last = 0] = [values[0], values.at(-1)];
  const ratio = first > 0 && growth.length > 1 ? ` (${(last / first).toFixed(1)} times)` : "";
  return `${values.map((value) => value.toLocaleString("en")).join(" / ")}${ratio}`;
}

function costOf(costs: readonly JobCost[], job: string): JobCost {
  const found = costs.find((cost) => cost.job === job);
  if (found === undefined) throw new Error(`${job} was not measured`);
  return found;
}

const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
