/** What a line of a log says of one request. */
export interface LogEntry {
  /** Microseconds since the Unix epoch. */
  readonly atUs: bigint;
  /** The log writes times in whole seconds. */
  readonly isWholeSecond: boolean;
  readonly method: string;
  readonly path: string;
  /** Without its question mark; undefined where there is none. */
  readonly query: string | undefined;
  readonly status: number;
  /** Bytes of the answer. */
  readonly answered: bigint;
  /** Bytes of the request; undefined where the log does not have them. */
  readonly received: bigint | undefined;
  /** S3's word for what went wrong, where the log has it. */
  readonly error: string | undefined;
  /** One key of a request that names many: the request itself is a line of its own. */
  readonly isKeyOfMany?: boolean;
  readonly user: string | undefined;
  readonly address: string | undefined;
  readonly key: string | undefined;
  readonly bucket: string | undefined;
}

/** A line is an entry, or no request of a caller (`skipped`, by a word), or bad for a reason. */
export type Parsed =
  | { readonly entry: LogEntry }
  | { readonly skipped: string }
  | { readonly bad: string };

export type ParseLine = (text: string) => Parsed;
