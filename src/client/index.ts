export type { ApplicationLimiter, Spent } from "./application-limiter.ts";
export type { Change } from "./changes.ts";
export { createDecider, type Decider, type DeciderOptions } from "./decider.ts";
export type { Decision, Reason } from "./decision.ts";
export {
  ClosedError,
  ForbiddenError,
  GoneError,
  InvalidRequestError,
  LimiterError,
  NotFoundError,
  UnauthorizedError,
  UnavailableError,
} from "./errors.ts";
export { createLimiter, type Limiter, type LimiterHooks, type LimiterOptions } from "./limiter.ts";
export type { OutagePolicy } from "./outage.ts";
export type { ApplicationStatus, LimiterStatus } from "./status.ts";
export type { Settlement } from "./store/settle.ts";
export type { ApplicationName } from "./terms.ts";
