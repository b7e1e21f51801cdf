import { styleText } from "node:util";

export type Style = Parameters<typeof styleText>[0];

/** How the word or mark at the head of a line looks on a terminal. */
const heads: Readonly<Record<string, Style>> = {
  "error:": ["red", "bold"],
  "detail:": "bold",
  "hint:": "cyan",
  "+": "green",
  "~": "yellow",
  "=": "cyan",
  "-": "red",
  "allowed:": "green",
  "denied:": "red",
  "first denial:": "red",
  ok: "green",
  info: "cyan",
  warning: "yellow",
  critical: ["red", "bold"],
};

const head = new RegExp(
  `^(${Object.keys(heads)
    .map((word) => word.replace("+", "\\+"))
    .join("|")})(?= )`,
  "gm",
);

/**
 * Text with colours where the stream is a terminal, as it is everywhere else. NO_COLOR and
 * FORCE_COLOR are obeyed.
 */
export function coloured(text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return text.replaceAll(head, (word) => styled(heads[word] ?? "reset", word, stream));
}

/** A heading of a table. */
export function heading(text: string): string {
  return styled("bold", text, process.stdout);
}

export function styled(style: Style, text: string, stream: NodeJS.WriteStream): string {
  return styleText(style, text, { stream });
}
