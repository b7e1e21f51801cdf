/** Asks the system for something, over and over, until it is told to stop. */
export interface Actor {
  readonly name: string;
  start(): void;
  /** Resolves once its last answer came, or its limit. */
  stop(): Promise<void>;
}
