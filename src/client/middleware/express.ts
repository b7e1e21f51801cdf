import { setTimeout as sleep } from "node:timers/promises";
import { judge, type MiddlewareOptions } from "./request-rule.ts";

interface Response {
  set(headers: Readonly<Record<string, string>>): unknown;
  status(code: number): { json(body: unknown): unknown };
}

type Next = (error?: unknown) => void;

/** For `app.use()` of Express. */
export function limitExpress<Request>(options: MiddlewareOptions<Request>) {
  return async (request: Request, response: Response, next: Next): Promise<void> => {
    try {
      const { headers, delayMs, rejection } = await judge(options, request);
      response.set(rejection?.headers ?? headers);
      if (rejection !== undefined) {
        response.status(rejection.status).json(rejection.body);
        return;
      }
      if (delayMs > 0) await sleep(delayMs);
    } catch (error) {
      next(error);
      return;
    }
    next();
  };
}
