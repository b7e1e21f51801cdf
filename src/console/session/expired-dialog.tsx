import { Dialog } from "@base-ui/react/dialog";
import { Button } from "../ui/button.tsx";
import { signOut } from "./session.ts";
import { SignInForm } from "./sign-in-form.tsx";
import type { Viewer } from "./viewer.tsx";

/** Above the page, which keeps what was typed into it. */
export function ExpiredDialog({ user }: Pick<Viewer, "user">) {
  return (
    <Dialog.Root open modal>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog dialog-narrow">
          <Dialog.Title className="dialog-title">Your session has ended</Dialog.Title>
          <Dialog.Description className="quiet">
            Sign in again as {user.email}. The page stays as you left it.
          </Dialog.Description>
          <SignInForm known={{ tenant: user.tenant?.name ?? "", email: user.email ?? "" }} />
          <Button kind="quiet" onClick={signOut} isWide>
            Sign in as another user
          </Button>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
