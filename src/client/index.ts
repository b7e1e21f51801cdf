export type { AcquireOptions } from "./acquire.ts";
export type { ApplicationName } from "./application-config.ts";
export type { ApplicationLimiter, CheckOptions, LeasedOperation } from "./application-limiter.ts";
export {
  type BatchingClient,
  type BatchingClientOptions,
  createBatchingClient,
} from "./batching-client.ts";
export type { Change } from "./changes.ts";
export type { Decision, Reason } from "./decision.ts";
export {
  AbortedError,
  BusyError,
  ClosedError,
  ConflictError,
  DatabaseError,
  ForbiddenError,
  GoneError,
  InvalidRequestError,
  LimiterError,
  NotFoundError,
  UnauthorizedError,
  UnavailableError,
} from "./errors.ts";
export { headersFor } from "./headers-for.ts";
export { createLimiter, type Limiter } from "./limiter.ts";
export type { LimiterHooks, LimiterOptions } from "./limiter-options.ts";
export type { ClientLogger } from "./logger.ts";
export type { OutagePolicy } from "./outage.ts";
export type { ApplicationStatus, LimiterStatus } from "./status.ts";
export type { Connection } from "./store/open-connections.ts";
export type { Settlement } from "./store/settle.ts";
