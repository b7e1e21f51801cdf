import { Button } from "./button.tsx";
import { Dialog } from "./dialog.tsx";
import { useTell } from "./toasts.tsx";

interface Props {
  readonly title: string;
  readonly secret: string;
  readonly copied: string;
  readonly onClose: () => void;
}

/** What is shown once. */
export function SecretDialog({ title, secret, copied, onClose }: Props) {
  const tell = useTell();
  return (
    <Dialog title={title} about="Keep it now: it is not shown again." isOpen onClose={onClose}>
      <code className="secret break">{secret}</code>
      <div className="row row-end">
        <Button onClick={() => navigator.clipboard.writeText(secret).then(() => tell(copied))}>
          Copy
        </Button>
        <Button kind="primary" onClick={onClose}>
          I have it
        </Button>
      </div>
    </Dialog>
  );
}
