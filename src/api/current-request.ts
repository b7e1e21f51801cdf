import { AsyncLocalStorage } from "node:async_hooks";
import type { ApiRequest } from "./request.ts";

/** The request that the running code serves: for logs, to which it is not passed as an argument. */
export const currentRequest = new AsyncLocalStorage<ApiRequest>();
