import type { Change } from "../config/changes.ts";
import type { Decision } from "../decisions/decision.ts";
import type { OutagePolicy } from "../decisions/outage.ts";
import { InvalidRequestError, type LimiterError } from "../errors.ts";
import type { Connection } from "../store/open-connections.ts";
import type { ClientLogger } from "./logger.ts";
import {
  applicationId,
  callback,
  group,
  logger,
  oneOf,
  type Rules,
  requireConnection,
  text,
  validateOptions,
  wholeNumber,
  yesOrNo,
} from "./validate-options.ts";

export interface LimiterOptions {
  /**
   * A URL (the limiter opens its own pool), or a pool of `postgres` or `pg`, which stays open. With
   * a pool of `postgres` the driver alone replaces connections that swallow packets.
   */
  readonly connection: Connection;
  /** The application of check() and its siblings; for others see application(). */
  readonly apiKey?: string | undefined;
  readonly application?: string | undefined;
  /** Names this process in the leases that it holds. */
  readonly holder?: string;
  readonly outage?: Partial<OutagePolicy>;
  /** Life of a lease; by default the setting lease_seconds. */
  readonly leaseMs?: number;
  /** A lease that was not used for this long is returned. */
  readonly idleMs?: number;
  /** Polling interval for changes where notifications do not arrive. */
  readonly pollMs?: number;
  /** A call that takes longer counts as an outage. */
  readonly timeoutMs?: number;
  /** How many applications are cached. */
  readonly maxApplications?: number;
  /** Close on SIGTERM, then end the process. */
  readonly closeOnSigterm?: boolean;
  readonly hooks?: LimiterHooks;
  /** By default warnings go to standard error. */
  readonly logger?: ClientLogger;
}

/** For metrics and traces. */
export interface LimiterHooks {
  readonly onOutage?: (error: LimiterError) => void;
  readonly onRecovery?: () => void;
  readonly onChange?: (change: Change) => void;
  /** Every decision; check() then has no fast path and reads the clock each time. */
  readonly onDecision?: (decision: Decision, operation: string) => void;
}

const day = 86_400_000;

const rules: Rules = {
  connection: () => {},
  apiKey: text,
  application: applicationId,
  holder: text,
  outage: group({ policy: oneOf("closed", "open", "fair_share"), maxMs: wholeNumber(0) }),
  leaseMs: wholeNumber(1, day),
  idleMs: wholeNumber(1, day),
  pollMs: wholeNumber(1, day),
  timeoutMs: wholeNumber(1, day),
  maxApplications: wholeNumber(1, 10_000_000),
  closeOnSigterm: yesOrNo,
  hooks: group({
    onOutage: callback,
    onRecovery: callback,
    onChange: callback,
    onDecision: callback,
  }),
  logger,
};

/** Throws an InvalidRequestError that names the option. */
export function validateLimiterOptions(options: LimiterOptions): void {
  validateOptions(options, rules);
  requireConnection(options.connection);
  if (options.apiKey === undefined || options.application === undefined) return;
  throw new InvalidRequestError("QS422", "invalid options: apiKey and application", {
    hint: "Give one of them.",
  });
}
