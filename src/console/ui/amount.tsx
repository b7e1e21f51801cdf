import { type Decimal, exact, short } from "../format/amount.ts";

interface Props {
  readonly of: Decimal;
  readonly unit?: string;
  /** Such as /s, said after the unit. */
  readonly per?: string;
}

/** In units that people use; every digit on hover. */
export function Amount({ of, unit = "", per = "" }: Props) {
  return (
    <data className="number" value={String(of ?? "")} title={exact(of, `${unit}${per}`)}>
      {short(of, unit)}
      {of !== null && of !== undefined && per && <span className="unit">{per}</span>}
    </data>
  );
}
