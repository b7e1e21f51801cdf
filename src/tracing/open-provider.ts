import { DiagLogLevel, diag } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from "@opentelemetry/semantic-conventions";
import { logFor } from "../log.ts";
import { version } from "../version.ts";

const log = logFor("tracing");

/** The SDK, registered for all of the process; what it complains of goes into the log. */
export function openProvider(serviceName: string): NodeTracerProvider {
  const tell = (message: string) => log.warn(message);
  const tellNothing = () => {};
  diag.setLogger(
    { error: tell, warn: tell, info: tellNothing, debug: tellNothing, verbose: tellNothing },
    DiagLogLevel.WARN,
  );
  const named = resourceFromAttributes({
    [ATTR_SERVICE_NAME]: serviceName,
    [ATTR_SERVICE_VERSION]: version,
  });
  const provider = new NodeTracerProvider({
    resource: detectResources({ detectors: [envDetector] }).merge(named),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  provider.register();
  return provider;
}
