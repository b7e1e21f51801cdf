/** Something long-running that `npm start` starts and stops again, in reverse order. */
export interface Service {
  readonly name: string;
  readonly url?: string;
  stop(): Promise<void>;
}
