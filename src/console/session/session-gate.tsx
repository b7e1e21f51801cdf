import { type ReactNode, useEffect, useMemo } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { useStore } from "../store.ts";
import { Loading } from "../ui/loading.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { ExpiredDialog } from "./expired-dialog.tsx";
import { ViewerDocument } from "./session.operations.ts";
import { mayHaveSession, phase } from "./session.ts";
import { SignInPage } from "./sign-in-page.tsx";
import { ViewerContext } from "./viewer.tsx";

/** Shows the console to those who have signed in, and to others how to. */
export function SessionGate({ children }: { readonly children: ReactNode }) {
  const now = useStore(phase);
  useEffect(() => {
    if (phase.get() === "unknown" && !mayHaveSession()) phase.set("out");
  }, []);
  if (now === "out") return <SignInPage />;
  if (now === "unknown" && !mayHaveSession()) return null;
  return <SignedIn>{children}</SignedIn>;
}

function SignedIn({ children }: { readonly children: ReactNode }) {
  const now = useStore(phase);
  const [{ data, error }] = useQuery({ query: ViewerDocument });
  const viewer = useMemo(() => {
    if (!data?.viewer) return undefined;
    const permissions = new Set(data.viewerPermissions);
    return { user: data.viewer, may: (permission: string) => permissions.has(permission) };
  }, [data]);
  useEffect(() => {
    if (viewer !== undefined && phase.get() === "unknown") phase.set("in");
  }, [viewer]);
  if (viewer === undefined) {
    const problem = problemOfAnswer(error);
    return problem ? <ProblemNote problem={problem} /> : <Loading label="Opening the console" />;
  }
  return (
    <ViewerContext value={viewer}>
      {children}
      {now === "expired" && <ExpiredDialog user={viewer.user} />}
    </ViewerContext>
  );
}
