import { oneOf, text } from "./kinds.ts";

/**
 * The standard variables that turn tracing on. All others of OpenTelemetry's SDK (OTEL_EXPORTER_OTLP_…,
 * OTEL_TRACES_SAMPLER, OTEL_BSP_…, OTEL_RESOURCE_ATTRIBUTES) are read by the SDK itself.
 */
export const tracingDeclaration = {
  exporter: oneOf("OTEL_TRACES_EXPORTER", ["otlp", "none"], {
    says: "`otlp` sends a span of each request and job to a collector",
    usually: "`otlp` where an endpoint is set, else `none`",
  }),
  endpoint: text("OTEL_EXPORTER_OTLP_ENDPOINT", {
    says: "URL of the collector (OTLP over HTTP)",
    usually: "`http://localhost:4318`",
  }),
  tracesEndpoint: text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", {
    says: "the same for traces alone, with its path",
    usually: "`/v1/traces` of the endpoint",
  }),
  protocol: oneOf("OTEL_EXPORTER_OTLP_PROTOCOL", ["http/protobuf"], {
    says: "the only protocol that is spoken",
    usual: "http/protobuf",
  }),
  serviceName: text("OTEL_SERVICE_NAME", {
    says: "the name of the process in traces",
    usually: "`storage-qos-api`, `storage-qos-worker`",
  }),
};
