import type { ReactNode } from "react";

interface Props {
  readonly columns: readonly string[];
  /** Columns of amounts, which come after the others and stand to the right. */
  readonly amounts?: readonly string[];
  /** Whether a last column has buttons: its head is heard and not seen. */
  readonly hasActions?: boolean;
  readonly children: ReactNode;
}

/** Rows under their heads; where there is not enough room, it scrolls in itself. */
export function Table({ columns, amounts = [], hasActions = false, children }: Props) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
            {amounts.map((column) => (
              <th key={column} scope="col" className="right">
                {column}
              </th>
            ))}
            {hasActions && (
              <th scope="col">
                <span className="visually-hidden">What to do</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
