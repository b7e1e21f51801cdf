/** What an operation needs. Tokens are millionths. */
export interface Need {
  readonly operation: string;
  readonly tokens: number;
  /** The bytes that must be available. */
  readonly bytes: number;
  /** Zero where the size is not known yet: such an operation needs a bucket without debt. */
  readonly bytesCharged: number;
}

export const noNeed: Need = { operation: "", tokens: 0, bytes: 0, bytesCharged: 0 };
