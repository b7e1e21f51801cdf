import { Toast } from "@base-ui/react/toast";

export function Toasts() {
  const { toasts } = Toast.useToastManager();
  return (
    <Toast.Portal>
      <Toast.Viewport className="toasts">
        {toasts.map((toast) => (
          <Toast.Root key={toast.id} toast={toast} className="toast">
            <div>
              <Toast.Title className="toast-title" />
              <Toast.Description className="quiet small" />
            </div>
            <Toast.Close className="button button-quiet button-small" aria-label="Dismiss">
              ✕
            </Toast.Close>
          </Toast.Root>
        ))}
      </Toast.Viewport>
    </Toast.Portal>
  );
}

/** Says what has been done. */
export function useTell(): (title: string, description?: string) => void {
  const { add } = Toast.useToastManager();
  return (title, description) => {
    add({ title, ...(description && { description }) });
  };
}
