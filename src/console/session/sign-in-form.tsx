import { type FormEvent, useState } from "react";
import { Problem } from "../api/problem.ts";
import { Button } from "../ui/button.tsx";
import { TextField } from "../ui/field.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { type Credentials, signIn } from "./session.ts";

interface Props {
  /** Who signs in again, where that is known. */
  readonly known?: { readonly tenant: string; readonly email: string };
}

export function SignInForm({ known }: Props) {
  const [problem, setProblem] = useState<Problem>();
  const [isBusy, setBusy] = useState(false);
  const [asksCode, setAsksCode] = useState(false);
  const otpauthUri = problem?.facts.otpauthUri;

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.currentTarget)) as unknown as Credentials;
    setBusy(true);
    try {
      await signIn({ ...known, ...given });
    } catch (error) {
      const found = error instanceof Problem ? error : unreachable();
      setAsksCode((asked) => asked || /one-time code|second factor/.test(found.message));
      setProblem(found);
      setBusy(false);
    }
  }

  return (
    <form className="stack" onSubmit={submit}>
      {known === undefined && (
        <>
          <TextField label="Tenant" name="tenant" autoComplete="organization" required autoFocus />
          <TextField label="Email" name="email" type="email" autoComplete="username" required />
        </>
      )}
      <TextField
        label="Password"
        name="password"
        type="password"
        autoComplete="current-password"
        required
        autoFocus={known !== undefined}
      />
      {typeof otpauthUri === "string" && <Enrolment uri={otpauthUri} />}
      {asksCode && (
        <TextField
          label="One-time code"
          name="code"
          inputMode="numeric"
          autoComplete="one-time-code"
          hint="Six digits of your authenticator app"
          required
          autoFocus
        />
      )}
      {problem && <ProblemNote problem={problem} />}
      <Button type="submit" kind="primary" isBusy={isBusy} isWide>
        Sign in
      </Button>
    </form>
  );
}

/** The first sign-in of a user who has to have a second factor. */
function Enrolment({ uri }: { readonly uri: string }) {
  const secret = new URL(uri).searchParams.get("secret") ?? "";
  return (
    <p className="note">
      Your account needs a second factor. <a href={uri}>Add it to your authenticator app</a>, or
      type this secret there: <code className="break">{secret}</code>
    </p>
  );
}

function unreachable(): Problem {
  return new Problem("the server cannot be reached", { hint: "Try again in a moment." });
}
