import { connect } from "../postgres/connect.ts";
import { UserError } from "../user-error.ts";
import { type ExplainedCall, explainedCalls } from "./calls.ts";
import { type ExplainedStatement, explainedStatement } from "./explained-statement.ts";

/** Repetitions after which PL/pgSQL has made its generic plans, as in a session in production. */
const warmUp = 10;

const autoExplain: Readonly<Record<string, string>> = {
  "auto_explain.log_min_duration": "0",
  "auto_explain.log_analyze": "on",
  "auto_explain.log_buffers": "on",
  "auto_explain.log_wal": "on",
  "auto_explain.log_nested_statements": "on",
  "auto_explain.log_level": "notice",
};

/**
 * Runs one call as rate_limiter_app, warm, and answers each statement that it ran, in the order in
 * which they ended: the call itself comes last. The URL's login must be a superuser.
 */
export async function explainCall(url: string, name: string): Promise<ExplainedStatement[]> {
  const call = explainedCalls[name];
  if (call === undefined) throw new UserError("unknown_call", `unknown call ${name}`);
  const statements: ExplainedStatement[] = [];
  const sql = connect(url, {
    max: 1,
    onnotice: (notice) => {
      const statement = explainedStatement(notice);
      if (statement !== undefined) statements.push(statement);
    },
  });
  const run = (text: string) => sql.unsafe(text);
  try {
    await run("load 'auto_explain'");
    await run("set role rate_limiter_app");
    await repeat(call, run);
    await prepare(call, warmUp, run);
    await run("reset role");
    for (const [setting, value] of Object.entries(autoExplain)) {
      await run(`set ${setting} = '${value}'`);
    }
    await run("set role rate_limiter_app");
    statements.length = 0;
    await run(call.statement(warmUp));
    return statements.filter(({ query }) => !/^set role\b/.test(query));
  } finally {
    await sql.end();
  }
}

type Run = (text: string) => Promise<unknown>;

async function repeat(call: ExplainedCall, run: Run): Promise<void> {
  for (let n = 0; n < warmUp; n++) {
    await prepare(call, n, run);
    await run(call.statement(n));
  }
}

async function prepare(call: ExplainedCall, n: number, run: Run): Promise<void> {
  if (call.prepare !== undefined) await run(call.prepare(n));
}
