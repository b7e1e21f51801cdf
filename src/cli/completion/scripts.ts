import type { Words } from "./words.ts";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** A script that the shell sources: words are in it, so that completing starts no process. */
export function completionScript(shell: Shell, all: readonly Words[]): string {
  return { bash, zsh, fish }[shell](all);
}

function bash(all: readonly Words[]): string {
  return `# bash completion of storage-qos
_storage_qos() {
  local current=\${COMP_WORDS[COMP_CWORD]} words
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${names(all)}"
  else
    case \${COMP_WORDS[1]} in
${cases(all)}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [ "\${#COMPREPLY[@]}" -eq 0 ]; then COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -F _storage_qos storage-qos`;
}

function zsh(all: readonly Words[]): string {
  return `#compdef storage-qos
_storage_qos() {
  local words_here
  if (( CURRENT == 2 )); then
    words_here="${names(all)}"
  else
    case $words[2] in
${cases(all, "words_here")}
    esac
  fi
  compadd -- \${=words_here} || _files
}
compdef _storage_qos storage-qos`;
}

function fish(all: readonly Words[]): string {
  const first = all.map(
    ({ command, says }) =>
      `complete -c storage-qos -n __fish_use_subcommand -a ${command} -d '${says.replaceAll("'", "")}'`,
  );
  const after = all.flatMap(({ command, words, options }) => {
    const here = `complete -c storage-qos -n '__fish_seen_subcommand_from ${command}'`;
    return [
      ...(words.length > 0 ? [`${here} -a '${words.join(" ")}'`] : []),
      ...options.map((option) => `${here} -l ${option.replace(/^--/, "")}`),
    ];
  });
  return ["# fish completion of storage-qos", ...first, ...after].join("\n");
}

function names(all: readonly Words[]): string {
  return all.map(({ command }) => command).join(" ");
}

function cases(all: readonly Words[], variable = "words"): string {
  return all
    .map(
      ({ command, words, options }) =>
        `      ${command}) ${variable}="${[...words, ...new Set(options)].join(" ")}" ;;`,
    )
    .join("\n");
}
