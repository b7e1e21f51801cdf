import { Dialog as BaseDialog } from "@base-ui/react/dialog";
import type { ReactNode } from "react";

interface Props {
  readonly title: string;
  readonly about?: ReactNode;
  readonly isOpen: boolean;
  readonly onClose: () => void;
  readonly children: ReactNode;
  readonly isWide?: boolean;
}

export function Dialog({ title, about, isOpen, onClose, children, isWide }: Props) {
  return (
    <BaseDialog.Root open={isOpen} onOpenChange={(open) => !open && onClose()}>
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className="backdrop" />
        <BaseDialog.Popup className={isWide ? "dialog" : "dialog dialog-narrow"}>
          <header className="dialog-head">
            <div>
              <BaseDialog.Title className="dialog-title">{title}</BaseDialog.Title>
              {about && <BaseDialog.Description className="quiet">{about}</BaseDialog.Description>}
            </div>
            <BaseDialog.Close className="button button-quiet button-icon" aria-label="Close">
              ✕
            </BaseDialog.Close>
          </header>
          {children}
        </BaseDialog.Popup>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  );
}
