import { useEffect } from "react";
import type { OperationResult } from "urql";
import { graphqlClient } from "../api/client.ts";
import { type Problem, problemOfAnswer } from "../api/problem.ts";
import { store, useStore } from "../store.ts";
import { ApplicationNamesDocument, type ApplicationNamesQuery } from "./applications.operations.ts";

export type ListedApplication = NonNullable<
  NonNullable<ApplicationNamesQuery["applications"]>["nodes"][number]
>;

export interface Listed {
  readonly applications: readonly ListedApplication[];
  readonly isComplete: boolean;
  readonly problem: Problem | undefined;
}

const listed = store<Listed>({ applications: [], isComplete: false, problem: undefined });
const freshMs = 30_000;
let begunAt = 0;

/** All that the viewer sees, page by page: the list is shown while it grows. Pages share it. */
export function useApplicationNames(): Listed {
  useEffect(() => {
    if (Date.now() - begunAt < freshMs) return;
    begunAt = Date.now();
    load();
  }, []);
  return useStore(listed);
}

/** A list that is there stays until the new one is complete. */
async function load(): Promise<void> {
  const isFirst = !listed.get().isComplete;
  let applications: readonly ListedApplication[] = [];
  let after: string | null = null;
  do {
    const answer: OperationResult<ApplicationNamesQuery> = await graphqlClient.query(
      ApplicationNamesDocument,
      { after },
      { requestPolicy: "network-only" },
    );
    const problem = problemOfAnswer(answer.error);
    if (problem !== undefined) {
      begunAt = 0;
      listed.set({ ...listed.get(), problem });
      return;
    }
    const page = answer.data?.applications;
    applications = [...applications, ...(page?.nodes ?? []).filter((each) => each !== null)];
    after = page?.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
    const isComplete = after === null;
    if (isFirst || isComplete) listed.set({ applications, isComplete, problem });
  } while (after !== null);
}
