import { type ReactNode, useId } from "react";

interface Props {
  readonly title: string;
  readonly about?: ReactNode;
  readonly actions?: ReactNode;
  readonly children: ReactNode;
  /** Lists and tables reach the edges. */
  readonly isFlush?: boolean;
}

export function Card({ title, about, actions, children, isFlush }: Props) {
  const id = useId();
  return (
    <section className="card" aria-labelledby={id}>
      <header className="card-head">
        <div>
          <h2 id={id}>{title}</h2>
          {about && <p className="quiet small">{about}</p>}
        </div>
        {actions && <div className="row">{actions}</div>}
      </header>
      <div className={isFlush ? "card-flush" : "card-body"}>{children}</div>
    </section>
  );
}
