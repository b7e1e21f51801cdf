import {
  type ArgumentNode,
  type DocumentNode,
  type FieldNode,
  GraphQLError,
  Kind,
  Lexer,
  parse,
  Source,
  type Token,
  TokenKind,
  visit,
} from "postgraphile/graphql";
import { ApiError } from "../api-error.ts";

/** What a document may have, so that parsing and validation take no more than a moment. */
export interface DocumentBounds {
  readonly tokens: number;
  /** Where an error stands is found line by line, for each of up to a hundred errors. */
  readonly lines: number;
  /** Fields and fragments, in all of its operations. */
  readonly selections: number;
  /** Each operation is compared with the variables of every fragment. */
  readonly operations: number;
  /** Fields that are answered under one name are compared with each other, with their arguments. */
  readonly comparisons: number;
  /** Values within variables, of which each is read and checked by itself. */
  readonly values: number;
}

export const boundsOfSignedIn: DocumentBounds = {
  ...{ tokens: 10_000, lines: 2_000 },
  ...{ selections: 2_000, operations: 20, comparisons: 50_000, values: 100_000 },
};

/** Enough for every sign-in, for a subscription, and for the introspection of usual tools. */
export const boundsOfStrangers: DocumentBounds = {
  ...{ tokens: 1_000, lines: 500 },
  ...{ selections: 200, operations: 5, comparisons: 2_000, values: 1_000 },
};

/** Of brackets of all kinds: the parser and what follows call themselves for each. */
const maxNesting = 100;

/**
 * Parses a query within bounds: of its tokens before it is parsed, of its fields before it is
 * validated. Undefined where it is not well formed, for grafserv to say why.
 */
export function boundedDocument(query: string, bounds: DocumentBounds): DocumentNode | undefined {
  try {
    checkTokens(query, bounds);
    const document = parse(query);
    checkSelections(document, bounds);
    return document;
  } catch (error) {
    if (error instanceof GraphQLError) return undefined;
    throw error;
  }
}

function checkTokens(query: string, bounds: DocumentBounds): void {
  const lexer = new Lexer(new Source(query));
  let nesting = 0;
  let count = 0;
  for (let token = lexer.advance(); ; token = lexer.advance()) {
    if (token.line > bounds.lines) throw tooLarge(`Send ${bounds.lines} lines at most.`);
    if (token.kind === TokenKind.EOF) return;
    count += 1;
    if (count > bounds.tokens) throw tooLarge(`Send ${bounds.tokens} words and signs at most.`);
    nesting += nestingOf(token);
    if (nesting > maxNesting) throw tooDeep();
  }
}

function nestingOf({ kind }: Token): number {
  switch (kind) {
    case TokenKind.BRACE_L:
    case TokenKind.BRACKET_L:
    case TokenKind.PAREN_L:
      return 1;
    case TokenKind.BRACE_R:
    case TokenKind.BRACKET_R:
    case TokenKind.PAREN_R:
      return -1;
    default:
      return 0;
  }
}

interface Named {
  fields: number;
  weight: number;
}

function checkSelections(document: DocumentNode, bounds: DocumentBounds): void {
  const named = new Map<string, Named>();
  let selections = 0;
  let operations = 0;
  visit(document, {
    OperationDefinition() {
      operations += 1;
    },
    FragmentSpread() {
      selections += 1;
    },
    InlineFragment() {
      selections += 1;
    },
    Field(node) {
      selections += 1;
      const name = node.alias?.value ?? node.name.value;
      const { fields, weight } = named.get(name) ?? { fields: 0, weight: 0 };
      named.set(name, { fields: fields + 1, weight: weight + weightOf(node) });
    },
  });
  if (operations > bounds.operations) {
    throw tooLarge(`Send ${bounds.operations} operations at most.`);
  }
  if (selections > bounds.selections) {
    throw tooLarge(`Name ${bounds.selections} fields and fragments at most.`);
  }
  const each = [...named.values()].map(({ fields, weight }) => fields * weight);
  if (each.reduce((sum, comparisons) => sum + comparisons, 0) > bounds.comparisons) {
    throw tooLarge("Name each field once, and give those with arguments names of their own.");
  }
}

/** A field, and each value that it is given. */
function weightOf({ arguments: given = [] }: FieldNode): number {
  return given.reduce((sum, argument) => sum + valuesIn(argument), 1);
}

function valuesIn(argument: ArgumentNode): number {
  let values = 0;
  visit(argument, {
    enter({ kind }) {
      if (kind !== Kind.NAME) values += 1;
    },
  });
  return values;
}

/** Refuses variables that no request needs, before anything else walks through them. */
export function checkVariables(variables: unknown, bounds: DocumentBounds): void {
  let left = bounds.values;
  let level = membersOf(variables);
  for (let depth = 1; level.length > 0; depth += 1) {
    left -= level.length;
    if (left < 0) throw tooLarge(`Send ${bounds.values} values in variables at most.`);
    if (depth > maxNesting) throw tooDeep();
    level = level.flatMap(membersOf);
  }
}

export function membersOf(value: unknown): unknown[] {
  return typeof value === "object" && value !== null ? Object.values(value) : [];
}

function tooLarge(hint: string): ApiError {
  return new ApiError("QS400", "query asks for too much", hint);
}

function tooDeep(): ApiError {
  return new ApiError("QS400", "query is too deep", `Nest no more than ${maxNesting} brackets.`);
}
