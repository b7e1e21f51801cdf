/** What is asked about before it is done. */
export type Step =
  | { readonly is: "make an account" | "invite" | "map a group" }
  | { readonly is: "make a token"; readonly userId: string; readonly name: string }
  | ({ readonly is: "revoke a token" | "revoke an invitation" | "end a mapping" } & Named);

interface Named {
  readonly id: string;
  readonly name: string;
}

export interface Secret {
  readonly title: string;
  readonly secret: string;
  readonly copied: string;
}
