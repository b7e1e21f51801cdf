import type { Change } from "../configuration/change.ts";
import type { Configuration } from "../configuration/configuration.ts";
import type { ConfiguredObject } from "../configuration/declared-objects.ts";

/** What the commands that manage ask for: the database answers it, and so does the admin API. */
export interface Management {
  /** All that stands of what a file can hold, and the caller may see. */
  configuration(): Promise<readonly StandingObject[]>;
  compare(configuration: Configuration, prune: boolean): Promise<readonly Change[]>;
  apply(configuration: Configuration, options: ApplyOptions): Promise<readonly Change[]>;
  readonly keys: ManagedKeys;
  readonly users: ManagedUsers;
  readonly serviceAccounts: ManagedServiceAccounts;
  readonly serviceTokens: ManagedServiceTokens;
  settings(): Promise<readonly Setting[]>;
  setSetting(key: string, value: string): Promise<void>;
  /** What each bucket says to an operation of an application now. */
  why(path: readonly string[], operation: string, bytes: string): Promise<readonly Verdict[]>;
  usage(path: readonly string[], span: Span): Promise<readonly Usage[]>;
  /** What limits would have throttled over the last day; null for an application that is not there. */
  preview(path: readonly string[], limits: QuotaLimits): Promise<QuotaPreview | null>;
  operations(): Promise<readonly string[]>;
}

export type StandingObject = ConfiguredObject & { readonly managed_by: string | null };

export interface ApplyOptions {
  readonly reason: string;
  readonly prune: boolean;
  readonly takeOver: boolean;
  /** Do all of it and take it back. */
  readonly isRehearsal?: boolean;
}

export interface ManagedKeys {
  list(): Promise<readonly Key[]>;
  /** Answers the key, which is shown this once. */
  create(path: readonly string[], given: NewKey): Promise<string>;
  revoke(path: readonly string[]): Promise<void>;
}

/** Moments are text here and below, as their source writes them. */
export interface Key {
  readonly tenant: string;
  readonly application: string;
  readonly prefix: string;
  readonly name: string | null;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly revoked_at: string | null;
  readonly suspended_until: string | null;
}

export interface NewKey {
  readonly name: string | null;
  readonly expiresAt: string | null;
}

export interface ManagedUsers {
  list(): Promise<readonly User[]>;
  create(path: readonly string[], given: UserChange): Promise<void>;
  change(path: readonly string[], given: UserChange): Promise<void>;
  delete(path: readonly string[]): Promise<void>;
}

export interface User {
  readonly tenant: string;
  readonly email: string;
  readonly username: string;
  readonly active: boolean;
  readonly last_login_at: string | null;
  readonly roles: readonly string[];
}

export interface UserChange {
  readonly username: string | null;
  readonly active: boolean | null;
  readonly role: string | null;
}

export interface ManagedServiceAccounts {
  list(): Promise<readonly ServiceAccount[]>;
  create(path: readonly string[], role: string | null): Promise<void>;
  change(path: readonly string[], given: Omit<UserChange, "username">): Promise<void>;
  delete(path: readonly string[]): Promise<void>;
}

export interface ServiceAccount {
  readonly tenant: string;
  readonly name: string;
  readonly active: boolean;
  readonly roles: readonly string[];
}

export interface ManagedServiceTokens {
  list(): Promise<readonly ServiceToken[]>;
  /** Answers the token, which is shown this once. */
  create(path: readonly string[], given: NewServiceToken): Promise<string>;
  revoke(path: readonly string[]): Promise<void>;
}

export interface ServiceToken {
  readonly tenant: string;
  readonly account: string;
  readonly prefix: string;
  readonly name: string | null;
  readonly permissions: readonly string[] | null;
  readonly created_at: string;
  readonly expires_at: string;
  readonly last_used_at: string | null;
  readonly revoked_at: string | null;
}

export interface NewServiceToken {
  readonly name: string | null;
  readonly expiresAt: string;
  readonly permissions: readonly string[] | null;
}

export interface Setting {
  readonly key: string;
  readonly value: string;
  readonly type: string;
  readonly minimum: string | null;
  readonly maximum: string | null;
  readonly choices: readonly string[] | null;
  readonly description: string;
  readonly is_sensitive: boolean;
}

/** Amounts are text with every digit. */
export interface Verdict {
  readonly layer: number;
  readonly bucket: string;
  readonly mode: string;
  readonly verdict: string;
  readonly charge: string | null;
  readonly tokens: string | null;
  readonly capacity: string | null;
  readonly refill_per_second: string | null;
  readonly debt: string | null;
  readonly passes_at: string | null;
}

export interface Span {
  readonly seconds: string;
  readonly by: string;
}

export interface Usage {
  readonly starts_at: string;
  readonly tokens: string;
  readonly bytes: string;
  readonly ledger_entries: string;
  readonly denied_operations: string;
  readonly denied_tokens: string;
  readonly denied_bytes: string;
}

/** Limits as a configuration has them, complete. */
export interface QuotaLimits {
  readonly iops?: Readonly<Record<string, unknown>> | null;
  readonly bandwidth?: Readonly<Record<string, unknown>> | null;
}

/** What was throttled, and between which bounds limits would have throttled. */
export interface QuotaPreview {
  readonly recorded_minutes: number;
  readonly operations: string;
  readonly bytes: string;
  readonly throttled_operations_before: string;
  readonly throttled_operations_least: string;
  readonly throttled_operations_most: string;
  readonly throttled_bytes_before: string;
  readonly throttled_bytes_least: string;
  readonly throttled_bytes_most: string;
}
