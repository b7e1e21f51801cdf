/** A setting of a process, as its environment gives it: declared once, read, documented and checked from here. */
export interface Setting<Value> {
  readonly variable: string;
  /** What it says, as the docs and `--help` print it. */
  readonly says: string;
  readonly kind: Kind;
  /** The value where the variable is not set, or empty. */
  readonly usual: Value;
  /** What the docs say of it where no value does. */
  readonly usually: string;
  /** Of the text of the variable; throws a sentence that ends with what it should be. */
  parse(text: string): NonNullable<Value>;
}

/** What a program in another language has to know to read the variable alike. */
export type Kind =
  | { readonly name: "text" | "list" | "switch" | "secret" }
  | { readonly name: "whole number" | "port"; readonly least: number }
  | { readonly name: "choice"; readonly choices: readonly string[] };

/** The settings of one part, by the names that the code has for them. */
export type Declaration = Readonly<Record<string, Setting<unknown>>>;

export type SettingsOf<D extends Declaration> = {
  readonly [Name in keyof D]: D[Name] extends Setting<infer Value> ? Value : never;
};
