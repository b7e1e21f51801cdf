import { logFor } from "../log.ts";
import { readSettings } from "../settings/read-settings.ts";
import { tracingDeclaration } from "../settings/tracing.ts";

const log = logFor("tracing");

export interface Tracing {
  /** Sends what is left, and ends. */
  stop(): Promise<void>;
}

/** How long the last spans may take: a collector that is away must not hold a stop up. */
const lastSpansMs = 2_000;

/**
 * Traces this process where the standard variables of OpenTelemetry ask for it. The SDK is not even
 * loaded otherwise.
 */
export async function startTracing(
  serviceName: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Tracing> {
  const settings = readSettings(env, tracingDeclaration);
  const hasEndpoint = (settings.endpoint ?? settings.tracesEndpoint) !== undefined;
  if ((settings.exporter ?? (hasEndpoint ? "otlp" : "none")) === "none")
    return { stop: async () => {} };
  const { openProvider } = await import("./open-provider.ts");
  const provider = openProvider(settings.serviceName ?? serviceName);
  log.info({ service: settings.serviceName ?? serviceName }, "traces are sent");
  return { stop: () => withinTime(provider.shutdown()) };
}

async function withinTime(ending: Promise<void>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, lastSpansMs);
  await Promise.race([ending, late]).catch((err: unknown) =>
    log.warn({ err }, "the last spans could not be sent"),
  );
  clearTimeout(timer);
}
