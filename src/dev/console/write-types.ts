import { readdir, readFile, writeFile } from "node:fs/promises";
import { plugin } from "@graphql-codegen/typescript-operations";
import {
  buildSchema,
  type DocumentNode,
  type GraphQLSchema,
  getOperationAST,
  parse,
  print,
  separateOperations,
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
  const constants = Object.entries(separateOperations(document)).map(([name, one]) =>
    constantOf(schema, name, one),
  );
  return `${[head, ...prepend, content, ...constants].join("\n")}\n`;
}

function complex(output: string | { prepend?: string[]; content: string }) {
  return typeof output === "string" ? { content: output } : output;
}

/**
 * An operation with the fragments that it uses, as the server accepts it. The text is parsed in the
 * browser, which is shorter to load than what it is parsed to.
 */
function constantOf(schema: GraphQLSchema, name: string, document: DocumentNode): string {
  const [problem] = validate(schema, document);
  if (problem !== undefined) throw problem;
  const kind = getOperationAST(document, name)?.operation ?? "";
  const type = `${name}${kind.charAt(0).toUpperCase()}${kind.slice(1)}`;
  return (
    `export const ${name}Document = \`\n${print(document)}\n\` as unknown as ` +
    `TypedDocumentNode<${type}, ${type}Variables>;`
  );
}
