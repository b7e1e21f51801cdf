import type { Address } from "./http/address.ts";

/** Something long-running that `npm start` starts and stops again, in reverse order. */
export interface Service {
  readonly name: string;
  readonly url?: string;
  /** Where it tells Prometheus of itself, if that is another place. */
  readonly metricsUrl?: string;
  stop(): Promise<void>;
}

/** src/api/server.ts exports `startApi`. */
export interface ApiOptions {
  /** A login that is a member of rate_limiter_authenticator. */
  readonly databaseUrl: string;
  readonly host: string;
  readonly port: number;
  /** Where to keep the key of access tokens, made on first use, when the environment names none. */
  readonly jwtSecretFile?: string | undefined;
  /** Settings of the API; the process's environment where absent. */
  readonly env?: NodeJS.ProcessEnv;
}
export type StartApi = (options: ApiOptions) => Promise<Service>;

/** src/worker/worker.ts exports `startWorker`. */
export interface WorkerOptions {
  /** A login that is a member of rate_limiter_worker. */
  readonly databaseUrl: string;
  /** Where /metrics, /healthz and /readyz are served; nowhere where absent. */
  readonly http?: Address | undefined;
  /** Settings of the worker; the process's environment where absent. */
  readonly env?: NodeJS.ProcessEnv;
}
export type StartWorker = (options: WorkerOptions) => Promise<Service>;
