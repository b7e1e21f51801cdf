import { Meter as BaseMeter } from "@base-ui/react/meter";
import type { CSSProperties, ReactNode } from "react";

interface Props {
  readonly label: string;
  readonly value: number;
  readonly max: number;
  readonly valueText: string;
  readonly tone?: "good" | "warn" | "bad" | "accent";
  /** A line across it, as a share of the whole. */
  readonly mark?: { readonly at: number; readonly label: string } | undefined;
  readonly children?: ReactNode;
}

export function Meter({ label, value, max, valueText, tone = "accent", mark, children }: Props) {
  const share = max > 0 ? Math.min(Math.max(value / max, 0), 1) : 0;
  const markStyle = { "--at": `${Math.min(mark?.at ?? 0, 1) * 100}%` } as CSSProperties;
  return (
    <BaseMeter.Root
      className="meter"
      value={Math.round(share * 100)}
      getAriaValueText={() => valueText}
      aria-label={label}
    >
      {children}
      <BaseMeter.Track className="meter-track">
        <BaseMeter.Indicator className={`meter-fill meter-${tone}`} />
        {mark && <span className="meter-mark" style={markStyle} title={mark.label} />}
      </BaseMeter.Track>
    </BaseMeter.Root>
  );
}

/** Of a bucket: what is left. */
export function toneOf(share: number): "good" | "warn" | "bad" {
  if (share < 0.05) return "bad";
  return share < 0.25 ? "warn" : "good";
}
