import { AsyncLocalStorage } from "node:async_hooks";
import type { ApiRequest } from "./request.ts";

/** The request that the code at hand works for: for logs, where nobody passes it on. */
export const currentRequest = new AsyncLocalStorage<ApiRequest>();
