type Spec = Readonly<Record<string, unknown>>;

/** A change that a configuration makes, or would make. */
export interface Change {
  /** Which object of the configuration wants it, from 1; null for what is pruned. */
  readonly entry: number | null;
  readonly action: "create" | "update" | "adopt" | "prune";
  readonly kind: string;
  readonly path: readonly string[];
  readonly before: Spec | null;
  readonly after: Spec | null;
  /** The configuration that manages it so far. */
  readonly manager?: string | null;
}
