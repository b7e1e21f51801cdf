/** Of both resources. Tokens are millionths. */
export interface Amounts {
  readonly tokens: number;
  readonly bytes: number;
}
