import { store } from "../store.ts";

export type Theme = "system" | "light" | "dark";
const note = "storage-qos.theme";

export const theme = store<Theme>(kept());

function kept(): Theme {
  const value = localStorage.getItem(note);
  return value === "light" || value === "dark" ? value : "system";
}

export function applyTheme(): void {
  const chosen = theme.get();
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}

export function isDark(): boolean {
  const chosen = theme.get();
  if (chosen !== "system") return chosen === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

export function chooseTheme(chosen: Theme): void {
  localStorage.setItem(note, chosen);
  document.documentElement.dataset.theme = chosen;
  theme.set(chosen);
}
