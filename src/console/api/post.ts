import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { problemOf } from "./problem.ts";

/** A mutation about the session itself: it goes past what renews sessions. */
export async function post<TData, TVariables>(
  document: TypedDocumentNode<TData, TVariables>,
  variables: TVariables,
): Promise<TData> {
  const response = await fetch("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json", "x-cookie-session": "begin" },
    body: JSON.stringify({ query: document, variables }),
  });
  const { data, errors } = await response.json();
  if (errors?.length > 0) throw problemOf(errors[0]);
  return data;
}
