/** What the doctor judges by: read once, so that checks are plain functions. */
export interface Facts {
  readonly serverVersion: number;
  readonly serverVersionText: string;
  readonly isStandby: boolean;
  readonly isReadOnly: boolean;
  readonly missingMigrations: number;
  readonly unknownMigrations: number;
  readonly extensions: readonly string[];
  readonly missingRoles: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly workers: number;
  readonly jobsGivenUp: number;
  readonly ledgerGaps: number | null;
  readonly ledgerCheckHours: number | null;
  /** Registered tables whose partitions do not reach a day ahead. */
  readonly endingPartitions: readonly string[];
  /** Default partitions that hold rows. */
  readonly filledDefaults: readonly string[];
  readonly hotUpdates: number;
  readonly updates: number;
  readonly replicas: readonly { readonly name: string; readonly lagSeconds: number }[];
  readonly oldestSnapshotSeconds: number;
  readonly preparedTransactions: number;
  readonly slotsHoldingRows: readonly string[];
  readonly databaseBytes: string;
  readonly largestTables: readonly { readonly name: string; readonly bytes: string }[];
  readonly seesAllSessions: boolean;
  /** By how much the server's clock is ahead of this machine's, beyond what the answer took. */
  readonly clockSkewMs: number;
  /** Statements of one connection reach several sessions of the server. */
  readonly isPooled: boolean;
}
