import { setTimeout as sleep } from "node:timers/promises";
import { judge, type MiddlewareOptions } from "./request-rule.ts";

interface Context {
  header(name: string, value: string): void;
}

/** For `app.use()` of Hono; the request is Hono's context. */
export function limitHono<C extends Context>(options: MiddlewareOptions<C>) {
  return async (context: C, next: () => Promise<void>): Promise<Response | undefined> => {
    const { headers, delayMs, rejection } = await judge(options, context);
    if (rejection !== undefined) {
      const { status, body } = rejection;
      return new Response(JSON.stringify(body), { status, headers: rejection.headers });
    }
    if (delayMs > 0) await sleep(delayMs);
    await next();
    for (const [name, value] of Object.entries(headers)) context.header(name, value);
    return undefined;
  };
}
