/** One statement that a call ran, as auto_explain reports it. */
export interface ExplainedStatement {
  /** The PL/pgSQL function that ran it and the line there; null for the call itself. */
  readonly place: string | null;
  /** How many PL/pgSQL functions are on the stack. */
  readonly depth: number;
  readonly query: string;
  readonly plan: string;
  readonly ms: number;
  /** Pages looked at, in memory or not, nested statements included. */
  readonly buffers: number;
  readonly walRecords: number;
  readonly walBytes: number;
}

/** What the driver delivers of a notice. */
export interface PlanNotice {
  readonly message?: string;
  readonly where?: string;
}

/** The statement of a notice, or undefined for a notice of another kind. */
export function explainedStatement({
  message = "",
  where = "",
}: PlanNotice): ExplainedStatement | undefined {
  const [, ms, text] = /^duration: ([\d.]+) ms {2}plan:\n(.*)$/s.exec(message) ?? [];
  if (ms === undefined || text === undefined) return undefined;
  const { query, plan } = split(text);
  const places = [...where.matchAll(/^PL\/pgSQL function (\S+?)\(.*?\) line (\d+)/gm)];
  const [, name, line] = places[0] ?? [];
  // The first such lines belong to the topmost node, which counts all that is below it.
  const buffers = /^\s*Buffers: (.*)$/m.exec(plan)?.[1] ?? "";
  const wal = /^\s*WAL: (.*)$/m.exec(plan)?.[1] ?? "";
  return {
    place: name === undefined ? null : `${name.replace(/^rate_limiter_internal\./, "")}:${line}`,
    depth: places.length,
    query,
    plan,
    ms: Number(ms),
    buffers: count(buffers, "shared hit") + count(buffers, "read"),
    walRecords: count(wal, "records"),
    walBytes: count(wal, "bytes"),
  };
}

/** The plan begins at the first line that has a cost, or where the trigger of an error was. */
function split(text: string): { query: string; plan: string } {
  const lines = text.split("\n");
  const start = lines.findIndex((line) => /\(cost=[\d.]+/.test(line));
  const end = start < 0 ? lines.length : start;
  return {
    query: lines
      .slice(0, end)
      .join("\n")
      .replace(/^Query Text: /, "")
      .trim(),
    plan: lines.slice(end).join("\n").trimEnd(),
  };
}

function count(counters: string, name: string): number {
  // `read` follows `shared hit=1`, and means shared pages until `temp` begins.
  const shared = counters.split(/,|temp /)[0] ?? "";
  return Number(new RegExp(`${name}=(\\d+)`).exec(shared)?.[1] ?? 0);
}
