import { setTimeout as sleep } from "node:timers/promises";
import { judge, type MiddlewareOptions } from "./request-rule.ts";

interface Reply {
  headers(headers: Readonly<Record<string, string>>): unknown;
  code(status: number): { send(body: unknown): unknown };
}

/** For `fastify.addHook("onRequest", …)`. */
export function limitFastify<Request>(options: MiddlewareOptions<Request>) {
  return async (request: Request, reply: Reply): Promise<unknown> => {
    const { headers, delayMs, rejection } = await judge(options, request);
    reply.headers(rejection?.headers ?? headers);
    if (rejection !== undefined) {
      reply.code(rejection.status).send(rejection.body);
      return reply;
    }
    if (delayMs > 0) await sleep(delayMs);
    return undefined;
  };
}
