/** A decision as SQL answers it; amounts are decimal texts. */
export interface Decision {
  readonly allowed: boolean;
  readonly reason: string | null;
  readonly cost: string;
  readonly remaining: string | null;
  readonly remaining_bytes: string | null;
  readonly retry_after_ms: string | null;
  readonly delay_ms: string;
}

export interface Question {
  readonly apiKey: string;
  readonly operation: string;
  readonly sizeBytes: string;
}
