import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { present } from "../overview/rates.ts";
import { useAction } from "../ui/action.tsx";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { useTell } from "../ui/toasts.tsx";
import { RevokeSessionDocument, SessionsDocument } from "./sessions.operations.ts";

interface Props {
  readonly userId: string;
  readonly name: string;
  readonly onClose: () => void;
}

/** Where a user is signed in, and the end of each. */
export function SessionsDialog({ userId, name, onClose }: Props) {
  const [{ data, error }, again] = useQuery({
    ...{ query: SessionsDocument, variables: { userId }, requestPolicy: "cache-and-network" },
  });
  const revoke = useAction(RevokeSessionDocument);
  const tell = useTell();
  const problem = problemOfAnswer(error) ?? revoke.problem;
  const sessions = present(data?.userSessions?.nodes);

  async function end(sessionId: string) {
    const done = await revoke.act({ input: { sessionId } });
    if (done === undefined) return;
    tell("Session ended", name);
    again({ requestPolicy: "network-only" });
  }

  return (
    <Dialog title="Sessions" about={`Where ${name} is signed in`} isOpen isWide onClose={onClose}>
      {problem && <ProblemNote problem={problem} />}
      {!data && !problem && <Loading />}
      {data && sessions.length === 0 && (
        <Empty title="Signed in nowhere">A session appears here with the next sign-in.</Empty>
      )}
      <ul className="list list-inset">
        {sessions.map((session) => (
          <li key={session.sessionId} className="list-item">
            <div className="grow">
              <span className="strong">{session.ipAddress ?? "address unknown"}</span>
              <p className="quiet small break">{session.userAgent}</p>
              <p className="quiet small">
                {session.lastUsedAt && (
                  <>
                    used <Moment at={session.lastUsedAt} isRelative />
                  </>
                )}
                {session.createdAt && (
                  <>
                    , begun <Moment at={session.createdAt} />
                  </>
                )}
              </p>
            </div>
            <Button
              isSmall
              kind="quiet"
              isBusy={revoke.isBusy}
              onClick={() => end(session.sessionId)}
              aria-label={`End the session from ${session.ipAddress ?? "an unknown address"}`}
            >
              End
            </Button>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
