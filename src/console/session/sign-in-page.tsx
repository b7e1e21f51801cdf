import { Logo } from "../shell/logo.tsx";
import { ThemeToggle } from "../shell/theme-toggle.tsx";
import { useTitle } from "../ui/title.ts";
import { SignInForm } from "./sign-in-form.tsx";

export function SignInPage() {
  useTitle("Sign in");
  return (
    <main className="sign-in">
      <div className="sign-in-card">
        <header className="sign-in-head">
          <Logo />
          <ThemeToggle />
        </header>
        <div>
          <h1>Sign in</h1>
          <p className="quiet">Quotas, traffic and people of your storage clusters.</p>
        </div>
        <SignInForm />
      </div>
    </main>
  );
}
