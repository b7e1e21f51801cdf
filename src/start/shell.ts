/** A text as one word of a line to copy. */
export function shellWord(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A command line with the variables that have a value before it. */
export function inEnvironment(
  variables: Readonly<Record<string, string | undefined>>,
  command: string,
): string {
  const set = Object.entries(variables).flatMap(([name, value]) =>
    value ? [`${name}=${shellWord(value)}`] : [],
  );
  return [...set, command].join(" ");
}
