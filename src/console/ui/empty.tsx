import type { ReactNode } from "react";

interface Props {
  readonly title: string;
  readonly children: ReactNode;
  readonly action?: ReactNode;
}

/** What would be here, and how it comes to be. */
export function Empty({ title, children, action }: Props) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      <p>{children}</p>
      {action}
    </div>
  );
}
