import type { ComponentProps } from "react";

interface Props extends ComponentProps<"button"> {
  readonly kind?: "primary" | "plain" | "quiet" | "danger";
  readonly isBusy?: boolean;
  readonly isWide?: boolean;
  readonly isSmall?: boolean;
}

export function Button({ kind = "plain", isBusy, isWide, isSmall, className, ...rest }: Props) {
  const classes = ["button", `button-${kind}`, isWide && "button-wide", isSmall && "button-small"];
  return (
    <button
      type="button"
      className={[...classes, className].filter(Boolean).join(" ")}
      aria-busy={isBusy || undefined}
      disabled={isBusy}
      {...rest}
    />
  );
}
