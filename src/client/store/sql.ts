/** A pool of porsager/postgres, or another driver behind the same tagged templates. */
export interface Sql {
  <T extends readonly unknown[]>(
    strings: TemplateStringsArray,
    ...values: readonly unknown[]
  ): Promise<T>;
  readonly options?: { readonly max?: number };
  listen(
    channel: string,
    onPayload: (payload: string) => void,
    onListen?: () => void,
  ): Promise<{ unlisten(): Promise<void> }>;
  notify(channel: string, payload: string): PromiseLike<unknown>;
}

/** The same as callers see it, without a type of the driver. */
export interface PostgresPool {
  (strings: TemplateStringsArray, ...values: never[]): PromiseLike<unknown>;
  readonly options?: { readonly max?: number };
}
