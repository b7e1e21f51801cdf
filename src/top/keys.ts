import { orders } from "./rates.ts";
import type { View } from "./screen.ts";

/** The view after a key; undefined for an end. */
export function pressed(key: string, view: View, count: number): View | undefined {
  const last = Math.max(count - 1, 0);
  switch (key) {
    case "q":
    case "\u0003":
      return undefined;
    case "s": {
      const next = orders[(orders.indexOf(view.order) + 1) % orders.length] ?? "denied";
      return { ...view, order: next, selected: 0 };
    }
    case "\u001b[A":
    case "k":
      return { ...view, selected: Math.max(view.selected - 1, 0) };
    case "\u001b[B":
    case "j":
      return { ...view, selected: Math.min(view.selected + 1, last) };
    case "\r":
      return { ...view, isOpen: !view.isOpen };
    case "\u001b":
      return { ...view, isOpen: false };
    default:
      return view;
  }
}
