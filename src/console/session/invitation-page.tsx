import { type FormEvent, useState } from "react";
import { post } from "../api/post.ts";
import { Problem } from "../api/problem.ts";
import { Logo } from "../shell/logo.tsx";
import { Button } from "../ui/button.tsx";
import { TextField } from "../ui/field.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { useTitle } from "../ui/title.ts";
import { AcceptInvitationDocument } from "./session.operations.ts";

/** Where the link of an invitation leads: its token is behind the #, which no server is sent. */
export function isInvitation({ pathname, hash }: Location = location): boolean {
  return pathname === "/invitation" && hash.length > 1;
}

export function InvitationPage() {
  useTitle("Invitation");
  const [token] = useState(() => location.hash.slice(1));
  const [problem, setProblem] = useState<Problem>();
  const [isBusy, setBusy] = useState(false);
  const [accepted, setAccepted] = useState<{ tenant: string; email: string }>();

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const { password, again } = Object.fromEntries(new FormData(event.currentTarget));
    if (password !== again) {
      return setProblem(new Problem("the two are not the same", { hint: "Type it twice." }));
    }
    setBusy(true);
    try {
      const input = { token, newPassword: String(password) };
      const { acceptInvitation } = await post(AcceptInvitationDocument, { input });
      history.replaceState(undefined, "", "/");
      setAccepted(acceptInvitation ?? undefined);
    } catch (error) {
      setProblem(error instanceof Problem ? error : unreachable());
    }
    setBusy(false);
  }

  return (
    <main className="sign-in">
      <div className="sign-in-card">
        <header className="sign-in-head">
          <Logo />
        </header>
        <h1>Set your password</h1>
        {accepted === undefined ? (
          <form className="stack" onSubmit={submit}>
            <NewPassword label="Password" name="password" autoFocus />
            <NewPassword label="Once more" name="again" />
            {problem && <ProblemNote problem={problem} />}
            <Button type="submit" kind="primary" isBusy={isBusy} isWide>
              Set the password
            </Button>
          </form>
        ) : (
          <p className="note">
            Done. <a href="/">Sign in</a> to the tenant {accepted.tenant} as {accepted.email}.
          </p>
        )}
      </div>
    </main>
  );
}

function NewPassword(props: { label: string; name: string; autoFocus?: boolean }) {
  return <TextField type="password" autoComplete="new-password" required {...props} />;
}

function unreachable(): Problem {
  return new Problem("the server cannot be reached", { hint: "Try again in a moment." });
}
