import { type Attributes, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";

/** Does the work in a span of its own, which ends with it; without tracing it only does the work. */
export async function traced<T>(
  name: string,
  given: { readonly attributes: Attributes; readonly kind?: SpanKind },
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const { attributes, kind = SpanKind.INTERNAL } = given;
  return tracer().startActiveSpan(name, { attributes, kind }, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      failed(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Its code and message alone: details of an error may hold what a tenant has sent. */
export function failed(span: Span, error: unknown): void {
  const { code, message } = Object(error) as { code?: unknown; message?: unknown };
  span.setStatus({ code: SpanStatusCode.ERROR, message: `${message ?? error}` });
  span.setAttribute("error.type", `${code ?? "error"}`);
}

function tracer() {
  return trace.getTracer("storage-qos");
}
