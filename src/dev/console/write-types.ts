import { readdir, readFile, writeFile } from "node:fs/promises";
import { plugin } from "@graphql-codegen/typescript-operations";
import {
  buildSchema,
  type DocumentNode,
  type GraphQLSchema,
  Kind,
  type OperationDefinitionNode,
  parse,
  print,
  validate,
} from "graphql";
import { projectPath } from "../../paths.ts";

/** How JSON has the scalars of the API: long numbers and moments are strings. */
const scalars = { JSON: "unknown", Int: "number", Float: "number" };

const head = `// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
`;

/** Path and content of each module that gives the console's operations their types. */
export async function consoleTypes(): Promise<ReadonlyMap<string, string>> {
  const schema = buildSchema(await readFile(projectPath("schema.graphql"), "utf8"));
  const folder = projectPath("src", "console");
  const names = (await readdir(folder, { recursive: true })).filter((name) =>
    name.endsWith(".graphql"),
  );
  const modules = await Promise.all(
    names.sort().map(async (name) => {
      const document = parse(await readFile(`${folder}/${name}`, "utf8"), { noLocation: true });
      const path = `${folder}/${name.replace(/\.graphql$/, ".operations.ts")}`;
      return [path, await moduleOf(schema, document)] as const;
    }),
  );
  return new Map(modules);
}

/** The files whose types are not those of schema.graphql any more. */
export async function staleConsoleTypes(): Promise<string[]> {
  const stale: string[] = [];
  for (const [path, content] of await consoleTypes()) {
    if ((await readFile(path, "utf8").catch(() => "")) !== content) stale.push(path);
  }
  return stale;
}

export async function writeConsoleTypes(): Promise<void> {
  for (const [path, content] of await consoleTypes()) await writeFile(path, content);
}

async function moduleOf(schema: GraphQLSchema, document: DocumentNode): Promise<string> {
  const [problem] = validate(schema, document);
  if (problem !== undefined) throw problem;
  const { prepend = [], content } = complex(
    await plugin(
      schema,
      [{ location: "operations", document }],
      { scalars, defaultScalarType: "string", enumType: "string-literal" },
      {},
    ),
  );
  const fragments = document.definitions.filter((each) => each.kind === Kind.FRAGMENT_DEFINITION);
  const operations = document.definitions.filter(
    (each): each is OperationDefinitionNode => each.kind === Kind.OPERATION_DEFINITION,
  );
  const constants = operations.map((operation) => constantOf(operation, [...fragments]));
  return `${[head, ...prepend, content, ...constants].join("\n")}\n`;
}

function complex(output: string | { prepend?: string[]; content: string }) {
  return typeof output === "string" ? { content: output } : output;
}

/** The text is parsed in the browser, which is shorter to load than what it is parsed to. */
function constantOf(
  operation: OperationDefinitionNode,
  fragments: DocumentNode["definitions"][number][],
): string {
  const name = operation.name?.value ?? "";
  const kind = `${operation.operation.charAt(0).toUpperCase()}${operation.operation.slice(1)}`;
  const text = print({ kind: Kind.DOCUMENT, definitions: [operation, ...fragments] });
  return (
    `export const ${name}Document = \`\n${text}\n\` as unknown as ` +
    `TypedDocumentNode<${name}${kind}, ${name}${kind}Variables>;`
  );
}
