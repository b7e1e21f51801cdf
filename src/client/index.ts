export type { ApplicationLimiter, CheckOptions } from "./application-limiter.ts";
export {
  type BatchingClient,
  type BatchingClientOptions,
  createBatchingClient,
} from "./batching-client.ts";
export type { ApplicationName } from "./config/application-config.ts";
export type { Change } from "./config/changes.ts";
export type { AcquireOptions } from "./decisions/acquire.ts";
export type { Decision, Reason } from "./decisions/decision.ts";
export { headersFor } from "./decisions/headers-for.ts";
export type { OutagePolicy } from "./decisions/outage.ts";
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
export type { LeasedOperation } from "./leases/leased-operations.ts";
export { createLimiter, type Limiter } from "./limiter.ts";
export type { LimiterHooks, LimiterOptions } from "./options/limiter-options.ts";
export type { ClientLogger } from "./options/logger.ts";
export type { ApplicationStatus, LimiterStatus } from "./status.ts";
export type { Connection } from "./store/open-connections.ts";
export type { Settlement } from "./store/settle.ts";
