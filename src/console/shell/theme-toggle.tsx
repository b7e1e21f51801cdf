import { useStore } from "../store.ts";
import { Button } from "../ui/button.tsx";
import { Icon } from "./icons.tsx";
import { chooseTheme, isDark, theme } from "./theme.ts";

export function ThemeToggle() {
  useStore(theme);
  const next = isDark() ? "light" : "dark";
  return (
    <Button
      kind="quiet"
      className="button-icon"
      aria-label={`Use the ${next} theme`}
      title={`Use the ${next} theme`}
      onClick={() => chooseTheme(next)}
    >
      <Icon name={next === "light" ? "sun" : "moon"} />
    </Button>
  );
}
