import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { logFor } from "../log.ts";
import { version } from "../version.ts";

const log = logFor("processes");

/** The database counts a process as gone that misses three reports. */
const everyMs = 30_000;

export interface AnnouncedProcess {
  readonly kind: keyof typeof statements;
  /** Runs a statement; each parameter has its type in it. */
  query(statement: string, values: readonly unknown[]): Promise<unknown>;
}

export interface Announcement {
  /** Says that the process ends. Never rejects. */
  stop(): Promise<void>;
}

const described = "$2::text, $3::text, $4::text, $5::bigint * interval '1 millisecond'";

/** Each login may call its own. */
const statements = {
  worker: {
    report: `select rate_limiter.report_process($1::uuid, 'worker', ${described})`,
    end: "select rate_limiter.end_process($1::uuid)",
  },
  api: {
    report: `select rate_limiter_private.report_api($1::uuid, ${described})`,
    end: "select rate_limiter_private.end_api($1::uuid)",
  },
};

/** Tells the database at once, and then every half minute, that this process is there. */
export function announceProcess({ kind, query }: AnnouncedProcess): Announcement {
  const processId = randomUUID();
  const startedAt = performance.now();
  const name = `${hostname()}/${process.pid}`;
  const tell = () => {
    const uptimeMs = Math.round(performance.now() - startedAt);
    const values = [processId, name, hostname(), version, uptimeMs];
    return query(statements[kind].report, values).catch(logFailure);
  };
  let telling = tell();
  const timer = setInterval(() => {
    telling = tell();
  }, everyMs).unref();
  return {
    async stop() {
      clearInterval(timer);
      await telling;
      await query(statements[kind].end, [processId]).catch(logFailure);
    },
  };
}

function logFailure(err: unknown): void {
  log.warn({ err }, "the database could not be told that this process is there");
}
