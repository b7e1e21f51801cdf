import type { Declaration } from "./setting.ts";

/** The settings as `--help` of a command prints them, behind its options. */
export function helpText(...declarations: readonly Declaration[]): string {
  const settings = declarations.flatMap((declaration) => Object.values(declaration));
  const width = Math.max(...settings.map(({ variable }) => variable.length));
  const lines = settings.map(
    ({ variable, says, usually }) =>
      `  ${variable.padEnd(width)}  ${plain(says)} (default: ${plain(usually)})`,
  );
  return ["", "Environment:", ...lines].join("\n");
}

/** Without Markdown's marks. */
function plain(text: string): string {
  return text.replaceAll("`", "").replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1");
}
