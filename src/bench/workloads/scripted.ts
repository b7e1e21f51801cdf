import { withParameter } from "../../postgres/url.ts";
import { readScript, statementsOf } from "../script.ts";
import type { Bench, Workload } from "../types.ts";

export interface Scripted {
  readonly script: string;
  readonly says: string;
  readonly unit?: string;
  /** Name, where it differs from the script's. */
  readonly name?: string;
  readonly clients?: number;
  /** One row or one application, whatever the size of the world. */
  readonly isHot?: boolean;
  readonly offered?: number;
  /** Waits for the disk at each commit. */
  readonly isDurable?: boolean;
  /** Decisions, or whatever the unit is, in one transaction. */
  readonly times?: number;
  /** What every decision answers: a run that decides otherwise measures something else. */
  readonly allowed?: boolean;
  /** Gateways' role for what they call; floors and peers run as the owner of their tables. */
  readonly role?: "rate_limiter_app";
}

/** A workload that is a script for the load generator. */
export function scripted(options: Scripted): Workload {
  const script = readScript(options.script);
  return {
    name: options.name ?? options.script,
    says: options.says,
    unit: options.unit ?? "per second",
    async start(bench) {
      const load = {
        script,
        url: sessionUrl(bench, options),
        clients: options.clients ?? 16,
        seconds: bench.seconds,
        population: options.isHot ? 1 : bench.applications,
        ...(options.offered === undefined ? {} : { offered: options.offered }),
      };
      return {
        async round() {
          const sample = await bench.driver.run(load);
          if (options.allowed !== undefined) await checkAnswer(bench, options);
          return { ...sample, figure: sample.figure * (options.times ?? 1) };
        },
      };
    },
  };
}

async function checkAnswer({ sql }: Bench, { script, allowed }: Scripted): Promise<void> {
  const [statement] = statementsOf(readScript(script));
  const [answer] = await sql.unsafe(statement?.text ?? "", ["1"]);
  if (answer?.allowed !== allowed) {
    throw new Error(`${script} answers allowed: ${answer?.allowed} instead of ${allowed}`);
  }
}

function sessionUrl(bench: Bench, { isDurable, role }: Scripted): string {
  const settings = [
    `-c synchronous_commit=${isDurable ? "on" : "off"}`,
    ...(role ? [`-c role=${role}`] : []),
  ];
  return withParameter(bench.url, "options", settings.join(" "));
}
