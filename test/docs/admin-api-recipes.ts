/** A command of docs/admin-api.md, as it stands there. */
export interface Recipe {
  readonly shell: string;
  /** The fields at its top, or the path of an export. */
  readonly name: string;
  readonly query: string | undefined;
  /** Whether the page says that it is for system administrators. */
  readonly isOfOperator: boolean;
}

const commands =
  /^(?:ask|once "\S+"|try) '\{[^']*\}'$|^curl -s \$API[^']*'[^']*' -d '\{[^']*\}'$|^curl [^\n]*$/gm;
const blocks = /^```sh\n(.*?)^```$/gms;

/** The recipes of the page, in its order. */
export function recipesOf(page: string): readonly Recipe[] {
  return [...page.matchAll(blocks)].flatMap(([, block = ""]) => recipesOfBlock(block));
}

/** What the page defines for its recipes: `ask`, `once` and `try`. */
export function definitionsOf(page: string): string {
  return [...page.matchAll(/^\w+\(\) \{.*?\}$/gms)].map(([text]) => text).join("\n");
}

/** A comment is about what follows, until the next one. */
function recipesOfBlock(block: string): Recipe[] {
  return [...block.matchAll(commands)].map(([shell]) => {
    const before = block.slice(0, block.indexOf(shell));
    const comment = [...before.matchAll(/^# (.*)$/gm)].at(-1)?.[1] ?? "";
    const query = queryOf(shell);
    const name =
      query === undefined ? (/\/export\/[\w.]+/.exec(shell)?.[0] ?? "") : fieldsOf(query);
    return { shell, name, query, isOfOperator: comment.startsWith("The operator:") };
  });
}

function queryOf(shell: string): string | undefined {
  const body = /'(\{\s*"query".*\})'$/s.exec(shell)?.[1];
  return body === undefined ? undefined : (JSON.parse(body).query as string);
}

function fieldsOf(query: string): string {
  return /^(?:\w+ *(?:\(.*?\))? )?\{ (\w+)/.exec(query)?.[1] ?? query;
}

/** The recipe with a value for each `…` of its JSON's variables, or of its URL. */
export function filled(shell: string, standsFor: (name: string) => unknown): string {
  return shell
    .replace(/"(\w+)": (\[?)"…"(\]?)/g, (_, name, open, close) => {
      return `"${name}": ${open}${JSON.stringify(standsFor(name))}${close}`;
    })
    .replace(/([?&])(\w+)=…/g, (_, sign, name) => {
      return `${sign}${name}=${encodeURIComponent(String(standsFor(name)))}`;
    });
}
